package cli

import (
	"github.com/spf13/cobra"
)

func (p *Program) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:       "completion bash|zsh|fish|powershell",
		Short:     "Print a shell's completion script",
		Long:      "Prints a script that completes commands and flags. For bash: source <(hydrastore completion bash)",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: func(c *cobra.Command, args []string) error {
			switch args[0] {
			case "bash":
				return c.Root().GenBashCompletionV2(p.Stdout, true)
			case "zsh":
				return c.Root().GenZshCompletion(p.Stdout)
			case "fish":
				return c.Root().GenFishCompletion(p.Stdout, true)
			}
			return c.Root().GenPowerShellCompletionWithDesc(p.Stdout)
		},
	}
}
