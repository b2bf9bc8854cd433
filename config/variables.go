package config

import "slices"

// Variable is an environment variable that some command reads.
type Variable struct {
	Name string // LISTEN_ADDR
	Flag string // listen-addr, of the first of its commands
	// Key is its name in the configuration file; empty if it is not taken from there.
	Key     string
	Help    string
	Default string // empty for none
	Group   string
	Secret  bool
	// Commands are those that have the flag.
	Commands []string
}

// Variables lists the environment variables of all commands, each once, in the
// order of --help.
func Variables() []Variable {
	server := make(map[string]string)
	for _, f := range settings(ServeFlags{}) {
		server[f.env] = f.key()
	}
	var all []Variable
	at := make(map[string]int)
	for _, command := range []struct {
		name  string
		flags any
	}{
		{"serve", ServeFlags{}},
		{"rebuild", RebuildFlags{}},
		{"backfill", BackfillFlags{}},
		{"migrate", MigrateFlags{}},
		{"send", SendFlags{}},
		{"simulate", SimulateFlags{}},
		{"watch", WatchFlags{}},
		{"stats", StatsFlags{}},
		{"export", ExportFlags{}},
	} {
		for _, f := range fieldsOf(command.flags) {
			i, known := at[f.env]
			if !known {
				i = len(all)
				at[f.env] = i
				all = append(all, Variable{
					Name: f.env, Flag: f.flag, Key: server[f.env], Help: f.help,
					Default: f.fallback, Group: f.group, Secret: f.is(Secret("")),
				})
			}
			if !slices.Contains(all[i].Commands, command.name) {
				all[i].Commands = append(all[i].Commands, command.name)
			}
		}
	}
	return all
}
