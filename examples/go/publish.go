// Publishes one evolution to Kafka, knowing no more of evometrics than a schema:
//
//	evometrics schemas evolution_completed > evolution_completed.avsc
//	go run . kafka:9092 evolution_completed.avsc agent-7
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/hamba/avro/v2"
	"github.com/hamba/avro/v2/soe"
	"github.com/twmb/franz-go/pkg/kgo"
)

const topic = "evometrics.evolution.completed"

// EvolutionCompleted has the fields that the schema gives no default, and those of the others that are known.
type EvolutionCompleted struct {
	EventID                 string             `avro:"event_id"`
	AgentID                 string             `avro:"agent_id"`
	NodeID                  string             `avro:"node_id"`
	OccurredAt              int64              `avro:"occurred_at"`
	EvolutionID             string             `avro:"evolution_id"`
	StartedAt               int64              `avro:"started_at"`
	EvolutionType           string             `avro:"evolution_type"`
	Generation              int64              `avro:"generation"`
	StrategyUsed            string             `avro:"strategy_used"`
	RiskLevel               string             `avro:"risk_level"`
	TriggerReason           string             `avro:"trigger_reason"`
	PreKPIs                 map[string]float64 `avro:"pre_kpis"`
	PostKPIs                map[string]float64 `avro:"post_kpis"`
	Success                 bool               `avro:"success"`
	Status                  string             `avro:"status"`
	DurationSeconds         float64            `avro:"duration_seconds"`
	ErrorCount              int64              `avro:"error_count"`
	WarningCount            int64              `avro:"warning_count"`
	MemoryUsedMB            float64            `avro:"memory_used_mb"`
	CPUPercentAvg           float64            `avro:"cpu_percent_avg"`
	NetworkBytesTransferred int64              `avro:"network_bytes_transferred"`
	RollbackPerformed       bool               `avro:"rollback_performed"`
	ConvergenceIterations   int64              `avro:"convergence_iterations"`
	FitnessTrajectory       []float64          `avro:"fitness_trajectory"`
	Insights                []string           `avro:"insights"`
	Metadata                map[string]string  `avro:"metadata"`
	CostUSD                 *float64           `avro:"cost_usd"`
	Unmeasured              []string           `avro:"unmeasured"`
	SnapshotPhases          []string           `avro:"snapshot_phases"`
}

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: publish BROKERS SCHEMA AGENT")
	}
	brokers, file, agent := os.Args[1], os.Args[2], os.Args[3]

	schema, err := parse(file)
	check(err)
	codec, err := soe.NewCodec(schema) // C3 01, the schema's CRC-64-AVRO, then the event
	check(err)

	// Keys are hashed by murmur2, as Kafka's own client does; acks=all and idempotence are defaults.
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(brokers, ",")...),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
	)
	check(err)
	defer client.Close()

	started := time.Now()
	before, after := map[string]float64{"accuracy": 0.81}, map[string]float64{"accuracy": 0.86}
	ended := time.Now()

	id, err := uuid.NewV7() // of the event's own; the same where it is sent again
	check(err)
	cost := 0.42
	value, err := codec.Encode(EvolutionCompleted{
		EventID:         id.String(),
		AgentID:         agent,
		NodeID:          "go-1",
		OccurredAt:      ended.UnixMicro(),
		EvolutionID:     fmt.Sprintf("%s-%d", agent, started.Unix()),
		StartedAt:       started.UnixMicro(),
		EvolutionType:   "nightly",
		StrategyUsed:    "tune",
		PreKPIs:         before,
		PostKPIs:        after,
		Success:         true,
		Status:          "succeeded",
		DurationSeconds: ended.Sub(started).Seconds(),
		Metadata:        map[string]string{"client": "franz-go"},
		CostUSD:         &cost,
		// 0 in their fields, NULL in ClickHouse
		Unmeasured: []string{"memory_used_mb", "cpu_percent_avg", "network_bytes_transferred"},
		// the stream makes the agent's snapshots from the KPIs here
		SnapshotPhases: []string{"pre_evolution", "post_evolution"},
	})
	check(err)

	record := &kgo.Record{Topic: topic, Key: []byte(agent), Value: value}
	sent, err := client.ProduceSync(context.Background(), record).First()
	check(err)
	fmt.Printf("%s partition %d offset %d\n", sent.Topic, sent.Partition, sent.Offset)
}

// parse reads a schema without its logical types. The fingerprint is that of the canonical form, which has none,
// and this library (2.31) leaves them in it.
func parse(file string) (avro.Schema, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var given any
	if err := json.Unmarshal(text, &given); err != nil {
		return nil, err
	}
	stripped, err := json.Marshal(plain(given))
	if err != nil {
		return nil, err
	}
	return avro.Parse(string(stripped))
}

func plain(given any) any {
	switch part := given.(type) {
	case map[string]any:
		if _, logical := part["logicalType"]; logical {
			return part["type"]
		}
		for name, value := range part {
			part[name] = plain(value)
		}
	case []any:
		for place, value := range part {
			part[place] = plain(value)
		}
	}
	return given
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
