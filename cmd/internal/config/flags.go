package config

import (
	"errors"

	"github.com/spf13/pflag"
)

// Flags offers every setting that is no secret as a flag, and --config.
type Flags struct {
	set  *pflag.FlagSet
	file string
}

// AddFlags defines the flags on set.
func AddFlags(set *pflag.FlagSet) *Flags {
	f := &Flags{set: set}
	AddFileFlag(set, &f.file, "YAML file with settings (also HYDRASTORE_CONFIG)")
	for _, s := range Settings() {
		if s.Secret {
			continue
		}
		set.String(s.Flag(), "", plainHelp(s))
		if s.Type() == "true or false" {
			set.Lookup(s.Flag()).NoOptDefVal = "true"
		}
		set.Lookup(s.Flag()).DefValue = "" // shown in the help's text instead: an empty flag is not a default
	}
	return f
}

// AddFileFlag defines --config on set. It refuses an empty name: that is a script's unset variable, and would start a node
// with defaults in place of the settings that were meant.
func AddFileFlag(set *pflag.FlagSet, file *string, help string) {
	set.VarP((*fileName)(file), "config", "c", help)
}

// fileName is a pflag.Value.
type fileName string

func (f *fileName) String() string { return string(*f) }

func (f *fileName) Type() string { return "string" }

func (f *fileName) Set(name string) error {
	if name == "" {
		return errors.New("the name of a file is needed")
	}
	*f = fileName(name)
	return nil
}

// Input gathers what was given. lookup reads one variable of the environment.
func (f *Flags) Input(environ []string, lookup func(string) string) Input {
	in := Input{File: f.file, Environ: environ, Flags: map[string]string{}}
	if in.File == "" {
		in.File = lookup(EnvPrefix + "CONFIG")
	}
	for _, s := range Settings() {
		if s.Secret {
			continue
		}
		if flag := f.set.Lookup(s.Flag()); flag.Changed {
			in.Flags[s.Key] = flag.Value.String()
		}
	}
	return in
}
