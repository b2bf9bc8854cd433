package stores

import (
	"context"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

func (s *Stores) redisVersion(ctx context.Context) (string, error) {
	options, err := redis.ParseURL(s.Redis())
	if err != nil {
		return "", fmt.Errorf("ask Redis for its version: %w", err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		return "", fmt.Errorf("ask Redis for its version: %w", err)
	}
	_, after, _ := strings.Cut(info, "redis_version:")
	version, _, _ := strings.Cut(after, "\r\n")
	return version, nil
}
