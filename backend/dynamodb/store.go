package dynamodb

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/attempt"
	"github.com/hydrastore/hydrastore/session"
)

// Attributes of an item.
const (
	keyAttribute     = "username"
	kindAttribute    = "kind"
	versionAttribute = "version"
	dataAttribute    = "data"
	expiresAttribute = "expires"
)

// atOnce is how many items of one Get are asked for at the same time.
const atOnce = 16

type item = map[string]types.AttributeValue

// Store is a backend.Store in DynamoDB.
type Store struct {
	config     Config
	client     *dynamodb.Client
	idle       func() // closes connections that nobody uses
	clock      clock
	health     health
	stop       context.CancelFunc
	background sync.WaitGroup
	closing    sync.Once
}

// Open makes a Store. It asks the table once, and succeeds when DynamoDB is away or the table is missing: Ready then says so until it is there.
func Open(ctx context.Context, c Config) (*Store, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("open DynamoDB: %w", err)
	}
	s := &Store{config: c.withDefaults()}
	var err error
	if s.client, s.idle, err = s.config.client(ctx, &s.clock); err != nil {
		return nil, fmt.Errorf("open DynamoDB: %w", err)
	}
	s.checkHealth(ctx)
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.background.Go(func() { s.watchHealth(life) })
	return s, nil
}

// Close implements backend.Store.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.stop()
		s.background.Wait()
		s.idle()
	})
	return nil
}

// Features implements backend.Store. DynamoDB writes to several places before it answers; its clock is not told, so each machine's own is
// used while it is right (MaxSkew).
func (s *Store) Features() backend.Features {
	return backend.Features{Name: "dynamodb", Shared: true, Durable: true}
}

func keyOf(name backend.Name) string { return string(rune(name.Kind)) + "#" + name.ID }

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func newVersion() backend.Version {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails
	return backend.Version(base64.RawURLEncoding.EncodeToString(raw[:]))
}

// Get implements backend.Store.
func (s *Store) Get(ctx context.Context, names ...backend.Name) (backend.Snapshot, error) {
	if len(names) > backend.MaxGet {
		return backend.Snapshot{}, fmt.Errorf("get %d records: at most %d", len(names), backend.MaxGet)
	}
	if err := s.usable(ctx); err != nil {
		return backend.Snapshot{}, err
	}
	out := backend.Snapshot{Records: make([]backend.Record, len(names))}
	errs := make([]error, len(names))
	slots := make(chan struct{}, atOnce)
	var work sync.WaitGroup
	for i, name := range names {
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			out.Records[i], errs[i] = s.getOne(ctx, name)
		})
	}
	work.Wait()
	for _, err := range errs {
		if err != nil {
			return backend.Snapshot{}, err
		}
	}
	out.Now = time.Now()
	return out, s.usable(ctx)
}

func (s *Store) getOne(ctx context.Context, name backend.Name) (backend.Record, error) {
	r := backend.Record{Name: name}
	err := s.read(ctx, func(ctx context.Context) error {
		got, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{
			TableName: &s.config.Table, Key: item{keyAttribute: text(keyOf(name))}, ConsistentRead: aws.Bool(true),
		})
		if err != nil || len(got.Item) == 0 {
			return err
		}
		r, err = record(name, got.Item)
		return err
	})
	return r, err
}

func record(name backend.Name, from item) (backend.Record, error) {
	version, hasVersion := from[versionAttribute].(*types.AttributeValueMemberS)
	data, hasData := from[dataAttribute].(*types.AttributeValueMemberB)
	if !hasVersion || !hasData {
		return backend.Record{}, session.Errorf(session.CodeInternal, "DynamoDB holds something else where a record should be")
	}
	return backend.Record{Name: name, Version: backend.Version(version.Value), Value: data.Value}, nil
}

// Put implements backend.Store.
func (s *Store) Put(ctx context.Context, name backend.Name, value []byte, was backend.Version, expires time.Time) (backend.Version, error) {
	if len(value) > backend.MaxValueBytes {
		return "", session.Errorf(session.CodeTooLarge, "a record has %d bytes, at most %d can be kept", len(value), backend.MaxValueBytes)
	}
	if err := s.usable(ctx); err != nil {
		return "", err
	}
	version := newVersion()
	put := &dynamodb.PutItemInput{TableName: &s.config.Table, Item: item{
		keyAttribute: text(keyOf(name)), kindAttribute: text(string(rune(name.Kind))), versionAttribute: text(string(version)),
		dataAttribute: &types.AttributeValueMemberB{Value: value},
	}}
	if !expires.IsZero() {
		put.Item[expiresAttribute] = &types.AttributeValueMemberN{Value: s.dropAt(expires)}
	}
	if was == "" {
		put.ConditionExpression = aws.String("attribute_not_exists(" + keyAttribute + ")")
	} else {
		put.ConditionExpression, put.ExpressionAttributeNames, put.ExpressionAttributeValues = underVersion(was)
	}
	err := s.write(ctx, attempts().At(name, was), func(ctx context.Context) error {
		_, err := s.client.PutItem(ctx, put)
		return err
	}, func(ctx context.Context) (bool, error) {
		r, err := s.getOne(ctx, name)
		return r.Version == version, err
	})
	if err != nil {
		return "", err
	}
	return version, nil
}

func underVersion(was backend.Version) (condition *string, names map[string]string, values item) {
	return aws.String("#version = :was"), map[string]string{"#version": versionAttribute}, item{":was": text(string(was))}
}

// dropAt is the second from which DynamoDB may delete an item.
func (s *Store) dropAt(expires time.Time) string {
	return strconv.FormatInt(max(1, expires.Add(max(0, s.config.Grace)).Unix()+1), 10) // rounded up
}

// Delete implements backend.Store.
func (s *Store) Delete(ctx context.Context, name backend.Name, was backend.Version) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	del := &dynamodb.DeleteItemInput{TableName: &s.config.Table, Key: item{keyAttribute: text(keyOf(name))}}
	del.ConditionExpression, del.ExpressionAttributeNames, del.ExpressionAttributeValues = underVersion(was)
	return s.write(ctx, attempts(), func(ctx context.Context) error {
		_, err := s.client.DeleteItem(ctx, del)
		return err
	}, func(context.Context) (bool, error) { return false, errors.New("who has deleted it cannot be told") })
}

// usable tells why nothing should be sent: ctx has ended, or this machine's clock is wrong.
func (s *Store) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return (&attempt.Fault{Code: session.CodeUnavailable, Message: "the request has ended", Cause: err}).Refusal()
	}
	if off := s.clock.skew(); off != 0 {
		return (&attempt.Fault{Code: session.CodeUnavailable, Message: fmt.Sprintf("this node's clock is %v off DynamoDB's: set it right (NTP)", off.Round(time.Second))}).Refusal()
	}
	return nil
}
