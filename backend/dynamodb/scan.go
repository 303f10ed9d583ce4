package dynamodb

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/session"
)

const (
	// Records of all kinds lie in one table: a page looks at some times as many as it wants, a few times.
	looksPerRecord = 4
	leastLooks     = 100
	mostLooks      = 1000
	scanRounds     = 8
	maxPageBytes   = 8 << 20 // after which a page is short
)

// Scan implements backend.Store. A place is the key of the last item that was looked at.
func (s *Store) Scan(ctx context.Context, kind backend.Kind, after string, limit int) (backend.Page, error) {
	if limit < 1 || limit > backend.MaxScan {
		return backend.Page{}, fmt.Errorf("scan for %d records: from 1 to %d", limit, backend.MaxScan)
	}
	if err := s.usable(ctx); err != nil {
		return backend.Page{}, err
	}
	page := backend.Page{Next: after}
	size := 0
	for range scanRounds {
		items, next, err := s.scanRound(ctx, kind, page.Next, min(max(limit*looksPerRecord, leastLooks), mostLooks))
		if err != nil {
			return backend.Page{}, err
		}
		for i, it := range items {
			r, key, err := scanned(kind, it)
			if err != nil {
				return backend.Page{}, err
			}
			page.Records = append(page.Records, r)
			size += len(r.Value)
			if full := len(page.Records) == limit || size > maxPageBytes; full && (i < len(items)-1 || next != "") {
				page.Next, page.Now = key, time.Now()
				return page, nil
			}
		}
		if page.Next = next; next == "" {
			break
		}
	}
	page.Now = time.Now()
	return page, nil
}

// scanRound looks at some items after a place. next is "" when there are no more.
func (s *Store) scanRound(ctx context.Context, kind backend.Kind, after string, looks int) (items []item, next string, err error) {
	in := &dynamodb.ScanInput{
		TableName: &s.config.Table, ConsistentRead: aws.Bool(true), Limit: aws.Int32(int32(looks)), //nolint:gosec // at most mostLooks
		FilterExpression: aws.String("#kind = :kind"), ExpressionAttributeNames: map[string]string{"#kind": kindAttribute},
		ExpressionAttributeValues: item{":kind": text(string(rune(kind)))},
	}
	if after != "" {
		in.ExclusiveStartKey = item{keyAttribute: text(after)}
	}
	err = s.read(ctx, func(ctx context.Context) error {
		got, err := s.client.Scan(ctx, in)
		if err != nil {
			return err
		}
		items, next = got.Items, ""
		if last, ok := got.LastEvaluatedKey[keyAttribute].(*types.AttributeValueMemberS); ok {
			next = last.Value
		}
		return nil
	})
	return items, next, err
}

func scanned(kind backend.Kind, it item) (r backend.Record, key string, err error) {
	name, ok := it[keyAttribute].(*types.AttributeValueMemberS)
	if !ok {
		return r, "", session.Errorf(session.CodeInternal, "DynamoDB gave an item without its key")
	}
	id, ours := strings.CutPrefix(name.Value, string(rune(kind))+"#")
	if !ours {
		return r, "", session.Errorf(session.CodeInternal, "DynamoDB holds something else where a record should be")
	}
	r, err = record(backend.Name{Kind: kind, ID: id}, it)
	return r, name.Value, err
}
