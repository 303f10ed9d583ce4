package cli

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/hydrastore/hydrastore/session"
)

// issueKeyFlag asks for a session that outlives the command, and for its key: --issue-key, or --issue-key=POLICY.
type issueKeyFlag struct {
	asked  bool
	policy string // "" = the user's first
}

// Set implements pflag.Value.
func (f *issueKeyFlag) Set(text string) error {
	f.policy = ""
	asked, err := strconv.ParseBool(text)
	if f.asked = asked; err == nil {
		return nil
	}
	f.asked, f.policy = true, text
	return session.ValidatePolicyName(text)
}

func (f *issueKeyFlag) String() string { return f.policy }

// Type implements pflag.Value.
func (f *issueKeyFlag) Type() string { return "policy" }

// notIssued says why a policy gives no keys, and what would help. Other errors stay as they are.
func (f *issueKeyFlag) notIssued(user string, err error) error {
	var refused *session.Error
	if f.policy == "" || !errors.As(err, &refused) || refused.Field != "policy" {
		return err
	}
	text := fmt.Sprintf("session keys are not issued to %s: the user may not log in under the policy %q. An admin allows it with: hydrastore user set %s --policy default,%s",
		user, f.policy, user, f.policy)
	if refused.Code == session.CodeInvalid {
		text = fmt.Sprintf("session keys are not issued here: there is no policy %q. An admin turns them on with userdata.maxsessionkeyage in the configuration of a new cluster, or with: "+
			"hydrastore policy set %s --preset flowtraq --idle-timeout 120s", f.policy, f.policy)
	}
	return &unhinted{&session.Error{Code: session.CodeForbidden, Message: text}}
}
