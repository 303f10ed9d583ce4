package dynamodb

import "context"

// CheckHealth asks the table now.
func (s *Store) CheckHealth(ctx context.Context) { s.checkHealth(ctx) }
