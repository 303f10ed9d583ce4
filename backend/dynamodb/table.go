package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

const tablePause = 500 * time.Millisecond // between looks at a table that is being made

// CreateTable makes the table, waits until it serves, and turns on its time to live. What is there already is left as it is, and
// checked. say is told what happens.
func CreateTable(ctx context.Context, c Config, say func(format string, args ...any)) error {
	if err := c.Validate(); err != nil {
		return fmt.Errorf("create table: %w", err)
	}
	c = c.withDefaults()
	client, idle, err := c.client(ctx, &clock{})
	if err != nil {
		return fmt.Errorf("create table: %w", err)
	}
	defer idle()
	if err := create(ctx, client, c.Table, say); err != nil {
		return fmt.Errorf("create table %s: %w", c.Table, err)
	}
	if err := turnOnExpiry(ctx, client, c.Table, say); err != nil {
		return fmt.Errorf("turn on the time to live of table %s: %w; do it by hand for the attribute %s: without it nothing is ever deleted that expires", c.Table, err, expiresAttribute)
	}
	return nil
}

func create(ctx context.Context, client *dynamodb.Client, table string, say func(string, ...any)) error {
	_, err := client.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName:            &table,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String(keyAttribute), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String(keyAttribute), KeyType: types.KeyTypeHash}},
		BillingMode:          types.BillingModePayPerRequest,
	})
	var there *types.ResourceInUseException
	switch {
	case errors.As(err, &there):
		say("the table %s is there", table)
	case err != nil:
		return err
	default:
		say("the table %s is being made", table)
	}
	for begin := time.Now(); ; {
		got, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
		var notYet *types.ResourceNotFoundException
		switch {
		case errors.As(err, &notYet): // the answer comes from elsewhere than the order went to
		case err != nil:
			return err
		case got.Table.TableStatus == types.TableStatusActive || got.Table.TableStatus == types.TableStatusUpdating:
			say("the table %s serves", table)
			return rightKey(got.Table)
		default:
			say("the table %s is %s, for %v", table, got.Table.TableStatus, time.Since(begin).Round(tablePause))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until it serves: %w", context.Cause(ctx))
		case <-time.After(tablePause):
		}
	}
}

func rightKey(t *types.TableDescription) error {
	if len(t.KeySchema) == 1 && aws.ToString(t.KeySchema[0].AttributeName) == keyAttribute {
		for _, a := range t.AttributeDefinitions {
			if aws.ToString(a.AttributeName) == keyAttribute && a.AttributeType == types.ScalarAttributeTypeS {
				return nil
			}
		}
	}
	return fmt.Errorf("it has another key: the only one must be a partition key named %s of type string; give tokenizer.table another name", keyAttribute)
}

func turnOnExpiry(ctx context.Context, client *dynamodb.Client, table string, say func(string, ...any)) error {
	got, err := client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &table})
	if err != nil {
		return err
	}
	if d := got.TimeToLiveDescription; d != nil && (d.TimeToLiveStatus == types.TimeToLiveStatusEnabled || d.TimeToLiveStatus == types.TimeToLiveStatusEnabling) {
		if name := aws.ToString(d.AttributeName); name != expiresAttribute {
			return fmt.Errorf("it is on for another attribute, %s", name)
		}
		say("its time to live is on")
		return nil
	}
	_, err = client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName:               &table,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String(expiresAttribute), Enabled: aws.Bool(true)},
	})
	if err != nil {
		return err
	}
	say("its time to live is turned on for the attribute %s", expiresAttribute)
	return nil
}
