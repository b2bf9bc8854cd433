// Package config turns flags, environment variables and a YAML file into one
// validated Config.
//
// The structs whose names end in Flags carry the tags that package kong reads.
// They hold text as it was given, so that a command can be told everything that
// is wrong with its configuration at once. Their Config methods read the file,
// check all of it and return what it means; called again, they return what the
// file says then. The errors hold one sentence a line, name the variable or the
// place in the file, say what to do, and show no secret.
//
// A flag wins over its environment variable, that over the file, and that over
// the default. Where two settings say one thing, such as a secret and the name of
// the file that holds it, the one that was said at the higher level counts. A
// variable that is set but blank counts as not set, and so does a key without a
// value.
//
// The file is one YAML document of at most 1 MiB, without anchors and tags:
//
//	slack_channel: "#builds" # any flag of serve, with _ for -
//	notices: off
//	teams: # the first whose pattern matches owns a pipeline's new builds
//	  - name: web
//	    pipelines: [acme/web, acme/mobile-*] # * is any text within its part
//	    retention: {events: 30d}
//	retention: # how long things are kept
//	  events: 90d
//	  builds: 400d
//	  deliveries: 30d
//	env_keep: [RELEASE_PUBLIC, RELEASE_INTERNAL] # values of env that are not masked
//
// Config.Live is what may change while the server runs.
package config
