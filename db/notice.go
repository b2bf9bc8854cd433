package db

// noticeColumns are a notice's columns but for uncertain, in the order of dest.
const noticeColumns = `n.build_id, n.kind, n.wanted_rev, n.sent_rev, n.body_hash, n.channel, n.ts, n.attempts, n.last_error, n.token, n.sent_at`

// dest returns where noticeColumns and then uncertain are scanned to.
func (n *Notice) dest(uncertain, sentAt any) []any {
	return []any{
		&n.BuildID, &n.Kind, &n.WantedRev, &n.SentRev, &n.BodyHash, &n.Channel, &n.TS, &n.Attempts, &n.LastError, &n.Token, sentAt, uncertain,
	}
}

// claimed is the fence of a claim: its token, and that it was not given up. A
// claim that expired holds until another takes it over.
const claimed = ` WHERE build_id = $1 AND kind = $2 AND token = $3 AND claimed_until IS NOT NULL`

func failedAttempts(p Postponement) int {
	if p.Failed {
		return 1
	}
	return 0
}
