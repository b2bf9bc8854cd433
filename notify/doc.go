// Package notify decides which builds deserve a message, renders it, and brings
// it to Slack: once, edited as the build changes.
//
// Decide and Render are pure. A Sender owns delivery: it claims a notice,
// renders the build as it is now and sends, edits or leaves the message so that
// it says that.
//
// Delivery. Slack has no idempotency key, so a message may be lost or doubled
// only where the outcome of a call is unknown: the answer was lost, or the
// process died before it wrote the receipt. Such a notice is marked uncertain,
// and the next sender looks for the message by its metadata before it posts a
// second one. Where the app may not read the channel it posts: a second message
// is better than none.
//
// A call to Slack ends before the claim it runs under. A sender that was
// stopped for longer finds its claim taken and removes what it posted, unless
// its successor has adopted that message.
//
// Run may be called once for a Sender; everything else from any goroutine.
package notify
