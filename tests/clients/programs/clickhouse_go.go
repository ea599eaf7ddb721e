// clickhouse-go over HTTP with one compression, as Grafana's ClickHouse plugin uses it.
package main

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

const slow = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1"

var methods = map[string]clickhouse.CompressionMethod{
	"none": clickhouse.CompressionNone, "lz4": clickhouse.CompressionLZ4, "zstd": clickhouse.CompressionZSTD,
	"gzip": clickhouse.CompressionGZIP, "deflate": clickhouse.CompressionDeflate, "br": clickhouse.CompressionBrotli,
}

func main() {
	name := os.Args[1]
	connection, err := clickhouse.Open(&clickhouse.Options{
		Addr:        []string{strings.TrimPrefix(os.Getenv("SERVER"), "http://")},
		Protocol:    clickhouse.HTTP,
		Auth:        clickhouse.Auth{Database: "evometrics", Username: "default"},
		Compression: &clickhouse.Compression{Method: methods[name], Level: 3},
	})
	if err == nil {
		err = connection.Ping(context.Background())
	}
	if err != nil {
		fmt.Printf("failed\tconnect\t%v\n", err)
		return
	}
	step("columns", connection, columns)
	step("prepared", connection, prepared)
	step("batch", connection, batch)
	step("cancel", connection, cancel)
}

func step(name string, connection driver.Conn, run func(driver.Conn) (string, error)) {
	said, err := run(connection)
	if err != nil {
		fmt.Printf("failed\t%s\t%v\n", name, strings.Split(err.Error(), "\n")[0])
		return
	}
	fmt.Printf("ok\t%s\t%s\n", name, said)
}

func columns(connection driver.Conn) (string, error) {
	ctx := context.Background()
	tables := strings.Split(os.Getenv("TABLES"), ",")
	width, count := 0, 0
	for _, table := range tables {
		rows, err := connection.Query(ctx, "SELECT * FROM evometrics.`"+table+"`")
		if err != nil {
			return "", fmt.Errorf("%s: %w", table, err)
		}
		types := rows.ColumnTypes()
		width += len(types)
		for rows.Next() {
			count++
			values := make([]any, len(types))
			for i, kind := range types {
				values[i] = newValue(kind)
			}
			if err := rows.Scan(values...); err != nil {
				return "", fmt.Errorf("%s: %w", table, err)
			}
		}
		if err := rows.Err(); err != nil {
			return "", fmt.Errorf("%s: %w", table, err)
		}
	}
	if count == 0 {
		return "", fmt.Errorf("no rows")
	}
	return fmt.Sprintf("%d tables, %d columns", len(tables), width), nil
}

func prepared(connection driver.Conn) (string, error) {
	var agent string
	var count uint64
	sql := "SELECT agent_id, count() FROM evolution_metrics WHERE agent_id = "
	for _, bound := range []struct {
		mark string
		args []any
	}{
		{"?", []any{"it's agent-1"}},
		{"{agent:String}", []any{clickhouse.Named("agent", "it's agent-1")}},
	} {
		row := connection.QueryRow(context.Background(), sql+bound.mark+" GROUP BY agent_id", bound.args...)
		if err := row.Scan(&agent, &count); err != nil {
			return "", err
		}
	}
	return "", nil
}

func batch(connection driver.Conn) (string, error) {
	ctx := context.Background()
	table := "clients.go_" + os.Args[1]
	create := "CREATE OR REPLACE TABLE " + table + " (n UInt32, s String, x Nullable(Float64), t DateTime('Asia/Tokyo')) ORDER BY n"
	if err := connection.Exec(ctx, create); err != nil {
		return "", err
	}
	made, err := connection.PrepareBatch(ctx, "INSERT INTO "+table)
	if err != nil {
		return "", err
	}
	at := time.Unix(1_900_000_000, 0)
	for n := uint32(0); n < 5000; n++ {
		if err := made.Append(n, "row", nil, at); err != nil {
			return "", err
		}
	}
	if err := made.Send(); err != nil {
		return "", err
	}
	var count, sum uint64
	var when time.Time
	if err := connection.QueryRow(ctx, "SELECT count(), sum(n), max(t) FROM "+table).Scan(&count, &sum, &when); err != nil {
		return "", err
	}
	if count != 5000 || sum != 12497500 || !when.Equal(at) || when.Location().String() != "Asia/Tokyo" {
		return "", fmt.Errorf("%d rows, sum %d, time %v", count, sum, when)
	}
	return "5000 rows", nil
}

func cancel(connection driver.Conn) (string, error) {
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	began := time.Now()
	if rows, err := connection.Query(ctx, slow); err == nil {
		rows.Close()
		return "", fmt.Errorf("it had a result")
	}
	running := uint64(1)
	for range 100 {
		asked := "SELECT count() FROM system.processes WHERE query LIKE 'SELECT count() FROM numbers(10000%'"
		if err := connection.QueryRow(context.Background(), asked).Scan(&running); err != nil {
			return "", err
		}
		if running == 0 {
			return fmt.Sprintf("after %.1f s", time.Since(began).Seconds()), nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return "", fmt.Errorf("%d are still running", running)
}

func newValue(kind driver.ColumnType) any {
	return reflect.New(kind.ScanType()).Interface()
}
