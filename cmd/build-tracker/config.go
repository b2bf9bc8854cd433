package main

import (
	"fmt"

	"github.com/build-tracker/build-tracker/config"
)

// configCommands are about the configuration.
type configCommands struct {
	Check configCheckCommand `cmd:"" help:"Say what is wrong with the configuration, a line a problem."`
	Show  configShowCommand  `cmd:"" help:"Print the configuration in force as YAML, secrets masked."`
}

// configCheckCommand looks at a file, and at what the server would make of it.
type configCheckCommand struct {
	Path string `arg:"" optional:"" name:"file" help:"Configuration file; the one that --config names by default."`
	config.ServeFlags
}

// Help is what `config check --help` says above its flags.
func (configCheckCommand) Help() string {
	return `Reads the file, and this environment and these flags as serve would. It connects to nothing. A problem in the file begins with FILE:LINE:COLUMN. The exit code is 2 if there is any.`
}

// Run checks.
func (c *configCheckCommand) Run(t terminal) error {
	if c.Path != "" {
		c.ConfigFile = c.Path
	}
	cfg, err := c.Check()
	if err != nil {
		return usageError{err}
	}
	if cfg.File.Path == "" {
		fmt.Fprintln(t.stdout, "The configuration is good. It has no file: BUILDTRACKER_CONFIG names one.")
		return nil
	}
	fmt.Fprintf(t.stdout, "%s is good.\n", cfg.File.Path)
	return nil
}

// configShowCommand prints the configuration.
type configShowCommand struct{ config.ServeFlags }

// Help is what `config show --help` says above its flags.
func (configShowCommand) Help() string {
	return `Prints what serve would run with here, and after each setting where it comes from: a flag, a variable, a line of the file, or the default. What it prints can be a configuration file, once each secret, shown as ***, is written out or replaced by the name of the file that holds it.`
}

// Run shows.
func (c *configShowCommand) Run(t terminal) error {
	if err := c.Show(t.stdout); err != nil {
		return usageError{err}
	}
	return nil
}
