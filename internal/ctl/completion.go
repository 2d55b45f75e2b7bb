package ctl

import (
	"fmt"

	"github.com/spf13/cobra"
)

// completionCommand takes the place of cobra's own, which adds a shell that mexec's systems do not have.
func completionCommand(env Env) *cobra.Command {
	shells := []string{"bash", "zsh", "fish"}
	return &cobra.Command{
		Use:       "completion bash|zsh|fish",
		Short:     "Print the completion of mexecctl for a shell",
		ValidArgs: shells,
		Args:      exactly("bash, zsh or fish"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch root := cmd.Root(); args[0] {
			case "bash":
				return root.GenBashCompletionV2(env.Stdout, true)
			case "zsh":
				return root.GenZshCompletion(env.Stdout)
			case "fish":
				return root.GenFishCompletion(env.Stdout, true)
			}
			return usageError{fmt.Errorf("completion: %q: not bash, zsh or fish", args[0])}
		},
	}
}
