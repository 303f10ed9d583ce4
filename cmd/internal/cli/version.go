package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

type versionView struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (p *Program) versionCommand() *cobra.Command {
	var out outputFlag
	c := &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := p.version()
			return out.print(p.Stdout, v, func() *table {
				t := &table{}
				t.add("version", v.Version)
				t.add("commit", v.Commit)
				t.add("built with", v.Go)
				t.add("for", v.Platform)
				return t
			})
		},
	}
	out.define(c)
	return c
}

// version asks the build information for what the linker did not say.
func (p *Program) version() versionView {
	v := versionView{Version: p.Version, Go: runtime.Version(), Platform: fmt.Sprintf("%s/%s", runtime.GOOS, runtime.GOARCH)}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if v.Version == "" {
		v.Version = info.Main.Version
	}
	dirty := ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "+changes"
			}
		}
	}
	if v.Commit != "" {
		v.Commit += dirty
	}
	if v.Version == "" {
		v.Version = "unknown"
	}
	return v
}
