package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/hydrastore/hydrastore/client"
	"github.com/hydrastore/hydrastore/session"
)

// defaultAddress is where a node of `dev`, or one with default settings on this machine, answers.
const defaultAddress = "127.0.0.1:8700"

// connection is the flags that every command for a cluster takes.
type connection struct {
	program      *Program
	addresses    []string
	socket       string
	caFile       string
	user         string
	password     string
	passwordFile string
	key          string
	issueKey     issueKeyFlag
	rounds       int // how often each node is asked; 0 = the client's default
	timeout      time.Duration
	output       outputFlag
}

// remote is a cluster that a command talks to, as somebody.
type remote struct {
	*client.Client
	program   *Program
	output    *outputFlag
	addresses []string
	key       session.Key // zero over the socket and before log-in
}

// print writes a result as -o says.
func (r *remote) print(value any, people func() *table) error {
	return r.output.print(r.program.Stdout, value, people)
}

// say writes a sentence for people; programs that asked for JSON get the value instead.
func (r *remote) say(value any, format string, args ...any) error {
	if r.output.format == "json" {
		return writeJSON(r.program.Stdout, value)
	}
	_, err := fmt.Fprintf(r.program.Stdout, format+"\n", args...)
	return err
}

// done is what -o json says of a change that has no result.
type done struct {
	Done bool `json:"done"`
}

// remoteCommand gives c the connection's flags and runs it as whoever they name.
func (p *Program) remoteCommand(c *cobra.Command, run func(ctx context.Context, r *remote, args []string) error) *cobra.Command {
	f := &connection{program: p}
	f.define(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return f.withLogin(c.Context(), func(ctx context.Context, r *remote) error { return run(ctx, r, args) })
	}
	return c
}

func (f *connection) define(c *cobra.Command) {
	flags := c.Flags()
	flags.StringSliceVar(&f.addresses, "address", nil, "nodes to ask, host:port or https://host:port, the next when one is down (HYDRASTORE_ADDRESS; default "+defaultAddress+")")
	flags.StringVar(&f.socket, "socket", "", "ask the node with this Unix socket, as an operator, without logging in (HYDRASTORE_SOCKET)")
	flags.StringVar(&f.caFile, "ca-file", "", "PEM certificates to trust for https (HYDRASTORE_CA_FILE)")
	flags.StringVar(&f.user, "user", "", "log in as this user for this command; also -un (HYDRASTORE_USER)")
	flags.StringVar(&f.password, "password", "", "with --user: that user's password, seen by all who list processes; also -up; better: --password-file, HYDRASTORE_PASSWORD, or wait to be asked")
	flags.StringVar(&f.passwordFile, "password-file", "", "file with that password in its first line, - for standard input")
	flags.StringVar(&f.key, "session-key", "", "use this key; also -us KEY (HYDRASTORE_SESSION_KEY; default: what login has saved)")
	flags.Var(&f.issueKey, "issue-key", "with --user: keep the session and print its key alone on standard error; with =POLICY of that policy. -us beside -un or -up is --issue-key=flowtraq")
	flags.Lookup("issue-key").NoOptDefVal = "true"
	flags.DurationVar(&f.timeout, "timeout", client.DefaultTimeout, "give up after this time")
	f.output.define(c)
}

// withLogin connects, becomes somebody, runs, and ends a session that was made for this command alone.
func (f *connection) withLogin(ctx context.Context, run func(context.Context, *remote) error) error {
	r, err := f.connect()
	if err != nil {
		return err
	}
	defer r.Close()
	temporary, err := f.authenticate(ctx, r)
	if err != nil {
		return err
	}
	if !temporary {
		return run(ctx, r)
	}
	err = run(ctx, r)
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.timeout)
	defer cancel()
	if _, failed := r.Logout(ending); failed != nil && err == nil {
		err = fmt.Errorf("end the session of this command: %w", failed)
	}
	return err
}

// connect makes the client, without a key.
func (f *connection) connect() (*remote, error) {
	p := f.program
	config := client.Config{Timeout: f.timeout, Rounds: f.rounds, UserAgent: "hydrastore-cli"}
	if f.timeout <= 0 {
		return nil, usagef("--timeout must be positive, it is %v", f.timeout)
	}
	r := &remote{program: p, output: &f.output, addresses: f.addresses}
	if f.socket == "" && len(f.addresses) == 0 {
		f.socket = p.getenv("HYDRASTORE_SOCKET")
	}
	switch {
	case f.socket != "" && len(f.addresses) > 0:
		return nil, usagef("give --address or --socket, not both")
	case f.socket != "":
		config.Socket = f.socket
	default:
		if err := f.fillAddresses(r); err != nil {
			return nil, err
		}
		config.Addresses = r.addresses
	}
	var err error
	if config.TLS, err = f.trust(); err != nil {
		return nil, err
	}
	if r.Client, err = client.New(config); err != nil {
		return nil, usagef("%v", err)
	}
	return r, nil
}

// fillAddresses asks flag, environment, the saved log-in and the default, in this order.
func (f *connection) fillAddresses(r *remote) error {
	if len(r.addresses) > 0 {
		return nil
	}
	if r.addresses = splitList(f.program.getenv("HYDRASTORE_ADDRESS")); len(r.addresses) > 0 {
		return nil
	}
	saved, found, err := f.program.loadLogin()
	if err != nil {
		return err
	}
	if r.addresses = []string{defaultAddress}; found && len(saved.Addresses) > 0 {
		r.addresses = saved.Addresses
	}
	return nil
}

func (f *connection) trust() (*tls.Config, error) {
	file := f.caFile
	if file == "" {
		file = f.program.getenv("HYDRASTORE_CA_FILE")
	}
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, usagef("--ca-file: %v", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, usagef("--ca-file: %s holds no PEM certificate", file)
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}

// authenticate gives r a key: the flag's, one made for this command, the environment's, or the saved one. temporary tells
// that the session must end with the command.
func (f *connection) authenticate(ctx context.Context, r *remote) (temporary bool, err error) {
	p := f.program
	user, envKey := f.user, p.getenv("HYDRASTORE_SESSION_KEY")
	if user == "" && envKey == "" {
		user = p.getenv("HYDRASTORE_USER")
	}
	password := f.password != "" || f.passwordFile != ""
	switch {
	case f.socket != "":
		if f.user != "" || f.key != "" || password {
			return false, usagef("over --socket nobody logs in: leave out --user, --password and --session-key")
		}
		return false, nil
	case f.key != "" && f.user != "":
		return false, usagef("give --user or --session-key, not both")
	case password && (f.key != "" || user == ""):
		return false, &usageError{text: "whose password? it needs --user", hint: "A password that is set, not proved, is given with --new-password-file FILE or HYDRASTORE_NEW_PASSWORD."} // nobody's: another log-in must not be used in its place
	case f.key != "":
		return false, r.use(f.key)
	case user != "":
		return f.logInForCommand(ctx, r, user)
	case f.issueKey.asked:
		return false, usagef("--issue-key needs --user")
	case envKey != "":
		return false, r.use(envKey)
	}
	return false, r.useSaved()
}

func (f *connection) logInForCommand(ctx context.Context, r *remote, user string) (temporary bool, err error) {
	issued, err := f.logIn(ctx, r, session.Login{User: user, Policy: f.issueKey.policy})
	if err != nil {
		return false, err
	}
	r.become(issued.Key)
	if f.issueKey.asked {
		fmt.Fprintln(f.program.Stderr, issued.Key.Reveal())
	}
	return !f.issueKey.asked, nil
}

// logIn asks for the password where it is not given, and for a session.
func (f *connection) logIn(ctx context.Context, r *remote, asked session.Login) (session.Issued, error) {
	password, err := f.program.readSecret(secretSource{
		flag: f.password, file: f.passwordFile, env: "HYDRASTORE_PASSWORD", prompt: "Password of " + asked.User,
	})
	if err != nil {
		return session.Issued{}, err
	}
	asked.Password = password
	issued, err := r.Login(ctx, asked)
	if session.CodeOf(err) == session.CodeUnauthenticated {
		err = &unhinted{err}
	}
	return issued, f.issueKey.notIssued(asked.User, err)
}

func (r *remote) become(key session.Key) {
	r.key = key
	r.Client = r.With(key)
}

func (r *remote) use(text string) error {
	key, err := session.ParseKey(text)
	if err != nil {
		return err
	}
	r.become(key)
	return nil
}

func (r *remote) useSaved() error {
	saved, found, err := r.program.loadLogin()
	if err != nil {
		return err
	}
	if !found {
		return &session.Error{Code: session.CodeUnauthenticated, Message: "you are not logged in"}
	}
	if err := r.use(saved.Key); err != nil {
		return errors.Join(usagef("the saved log-in is damaged: log in again"), err)
	}
	return nil
}
