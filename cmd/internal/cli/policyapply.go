package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/hydrastore/hydrastore/cmd/internal/config"
	"github.com/hydrastore/hydrastore/session"
)

// policyDifference is one rule that the cluster and a file do not agree on. From is null for a policy that the cluster does not have.
type policyDifference struct {
	Policy string `json:"policy"`
	Field  string `json:"field"`
	From   any    `json:"from"`
	To     any    `json:"to"`
}

type appliedView struct {
	Differences []policyDifference `json:"differences"`
	Applied     bool               `json:"applied"`
}

func (p *Program) policyApplyCommand() *cobra.Command {
	var file string
	var dryRun bool
	c := &cobra.Command{
		Use: "apply --from-config FILE", Short: "Give the cluster's policies the values of a configuration file", Args: cobra.NoArgs,
		Long: `Shows where the policies of a configuration file (its block policies, and the blocks in the words of others) differ from the
cluster's, and gives the cluster the file's values, on all nodes at once and for living sessions too. Policies that the file does not
name stay as they are. HYDRASTORE_… in the environment counts as for server.`,
	}
	c.Flags().StringVar(&file, "from-config", "", "the configuration file")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only show the differences")
	return p.remoteCommand(c, func(ctx context.Context, r *remote, _ []string) error {
		if file == "" {
			return usagef("which file? --from-config FILE")
		}
		settings, err := config.Load(config.Input{File: file, Environ: p.Environ})
		if err != nil {
			return err
		}
		view := appliedView{Differences: []policyDifference{}, Applied: !dryRun}
		policies := 0
		for _, wanted := range settings.GivenPolicies() {
			found, err := r.applyPolicy(ctx, wanted, dryRun)
			if err != nil {
				return fmt.Errorf("policy %s, after %s: %w", wanted.Name, plural(policies, "policy change"), err)
			}
			if len(found) > 0 {
				policies++
			}
			view.Differences = append(view.Differences, found...)
		}
		return r.print(view, func() *table { return differenceTable(view, policies) })
	})
}

// applyPolicy gives one policy its wanted rules and returns what was different.
func (r *remote) applyPolicy(ctx context.Context, wanted session.Policy, dryRun bool) ([]policyDifference, error) {
	change := wanted.AsChange()
	current, err := r.GetPolicy(ctx, wanted.Name)
	var before *session.Policy
	switch session.CodeOf(err) {
	case "":
		before, change.IfMatch = &current.Policy, &current.Version
	case session.CodeNotFound:
	default:
		return nil, err
	}
	if before != nil && before.SameRules(wanted) {
		return nil, nil
	}
	if !dryRun {
		if _, err := r.PutPolicy(ctx, wanted.Name, change); err != nil {
			return nil, err
		}
	}
	return policyDifferences(before, wanted)
}

// policyDifferences compares in the words of the API, whatever fields policies have. before nil = there is no such policy.
func policyDifferences(before *session.Policy, after session.Policy) ([]policyDifference, error) {
	to, err := policyWords(after)
	if err != nil {
		return nil, err
	}
	from := map[string]any{}
	if before != nil {
		if from, err = policyWords(*before); err != nil {
			return nil, err
		}
	}
	var found []policyDifference
	for _, field := range slices.Sorted(maps.Keys(to)) {
		if from[field] != to[field] {
			found = append(found, policyDifference{Policy: after.Name, Field: field, From: from[field], To: to[field]})
		}
	}
	return found, nil
}

// policyWords are the rules of a policy by their names.
func policyWords(p session.Policy) (map[string]any, error) {
	text, err := json.Marshal(viewOfPolicy(p))
	if err != nil {
		return nil, err
	}
	words := map[string]any{}
	if err := json.Unmarshal(text, &words); err != nil {
		return nil, err
	}
	for _, derived := range []string{"name", "version", "effective_touch_window_s"} {
		delete(words, derived)
	}
	return words, nil
}

func differenceTable(view appliedView, policies int) *table {
	t := &table{head: []string{"policy", "field", "cluster", "file"}}
	for _, d := range view.Differences {
		from := "none"
		if d.From != nil {
			from = fmt.Sprint(d.From)
		}
		t.add(d.Policy, d.Field, from, fmt.Sprint(d.To))
	}
	switch {
	case policies == 0:
		return &table{foot: "the cluster's policies are those of the file"}
	case view.Applied:
		t.foot = plural(policies, "policy change") + " made"
	default:
		t.foot = plural(policies, "policy change") + " to make; without --dry-run they are made"
	}
	return t
}
