import java.io.File;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.UUID;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.generic.GenericRecordBuilder;
import org.apache.avro.message.BinaryMessageEncoder;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Publishes one evolution to Kafka, knowing no more of evometrics than a schema:
 *
 * <pre>
 * evometrics schemas evolution_completed > evolution_completed.avsc
 * mvn -q dependency:copy-dependencies -DoutputDirectory=lib
 * java -cp 'lib/*' Publish.java kafka:9092 evolution_completed.avsc agent-7
 * </pre>
 */
public final class Publish {
    private static final String TOPIC = "evometrics.evolution.completed";

    public static void main(String[] args) throws Exception {
        if (args.length != 3) {
            System.err.println("usage: Publish BROKERS SCHEMA AGENT");
            System.exit(2);
        }
        String brokers = args[0];
        Schema schema = new Schema.Parser().parse(new File(args[1]));
        String agent = args[2];

        Instant started = Instant.now();
        Map<String, Double> before = Map.of("accuracy", 0.81);
        Map<String, Double> after = Map.of("accuracy", 0.86);
        Instant ended = Instant.now();

        GenericRecord event = new GenericRecordBuilder(schema) // fills in the defaults that the schema has
                .set("event_id", UUID.randomUUID().toString()) // of its own; the same where it is sent again
                .set("agent_id", agent)
                .set("node_id", "java-1")
                .set("occurred_at", micros(ended))
                .set("evolution_id", agent + "-" + started.getEpochSecond())
                .set("started_at", micros(started))
                .set("evolution_type", "nightly")
                .set("generation", 0L)
                .set("strategy_used", "tune")
                .set("risk_level", "")
                .set("trigger_reason", "")
                .set("pre_kpis", before)
                .set("post_kpis", after)
                .set("success", true)
                .set("status", "succeeded")
                .set("duration_seconds", Duration.between(started, ended).toNanos() / 1e9)
                .set("error_count", 0L)
                .set("warning_count", 0L)
                .set("memory_used_mb", 0.0)
                .set("cpu_percent_avg", 0.0)
                .set("network_bytes_transferred", 0L)
                .set("rollback_performed", false)
                .set("convergence_iterations", 0L)
                .set("fitness_trajectory", List.of())
                .set("insights", List.of())
                .set("metadata", Map.of("client", "kafka-clients"))
                .set("cost_usd", 0.42)
                // 0 in their fields, NULL in ClickHouse
                .set("unmeasured", List.of("memory_used_mb", "cpu_percent_avg", "network_bytes_transferred"))
                // the stream makes the agent's snapshots from the KPIs here
                .set("snapshot_phases", List.of("pre_evolution", "post_evolution"))
                .build();

        // C3 01, the schema's CRC-64-AVRO, then the event
        byte[] value = new BinaryMessageEncoder<GenericRecord>(GenericData.get(), schema).encode(event).array();

        // Keys are hashed by murmur2, and acks=all with idempotence is the default.
        Properties settings = new Properties();
        settings.put(ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, brokers);
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new ByteArraySerializer())) {
            var sent = producer.send(new ProducerRecord<>(TOPIC, agent, value)).get();
            System.out.printf("%s partition %d offset %d%n", sent.topic(), sent.partition(), sent.offset());
        }
    }

    private static long micros(Instant at) {
        return at.getEpochSecond() * 1_000_000 + at.getNano() / 1_000;
    }
}
