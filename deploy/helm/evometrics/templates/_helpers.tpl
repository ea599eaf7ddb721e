{{/* Names and labels */}}
{{- define "evometrics.fullname" -}}
{{- if contains "evometrics" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-evometrics" (.Release.Name | trunc 29 | trimSuffix "-") }}{{ end }}
{{- end }}

{{- define "evometrics.labels" -}}
{{ include "evometrics.selector" . }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "evometrics.selector" -}}
app.kubernetes.io/name: evometrics
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .part }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{- define "evometrics.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* Kafka: where it is, and who a part logs in as. */}}
{{- define "evometrics.brokers" -}}
{{- if .Values.kafka.brokers }}{{ .Values.kafka.brokers }}
{{- else if .Values.strimzi.enabled }}{{ printf "%s-kafka-bootstrap.%s.svc:9093" .Values.strimzi.cluster .Release.Namespace }}
{{- else }}{{ fail "name Kafka: kafka.brokers, or strimzi.enabled and strimzi.cluster" }}
{{- end }}
{{- end }}

{{- define "evometrics.sasl" -}}
{{- if hasPrefix "SASL_" .Values.kafka.securityProtocol }}yes{{ end }}
{{- end }}

{{- define "evometrics.kafkaUser" -}}
{{- $own := index .root.Values.kafka.users .role }}
{{- if $own.name }}{{ $own.name }}
{{- else if .root.Values.strimzi.enabled }}{{ include "evometrics.fullname" .root }}-{{ .role }}
{{- else }}{{ fail (printf "kafka.users.%s.name: who the part logs in as" .role) }}
{{- end }}
{{- end }}

{{- define "evometrics.kafkaSecret" -}}
{{- $own := index .root.Values.kafka.users .role }}
{{- if $own.secret }}{{ $own.secret }}
{{- else if .root.Values.strimzi.enabled }}{{ include "evometrics.kafkaUser" . }}
{{- else }}{{ fail (printf "kafka.users.%s.secret: the Secret with the password" .role) }}
{{- end }}
{{- end }}

{{- define "evometrics.kafkaCa" -}}
{{- if hasSuffix "SSL" .Values.kafka.securityProtocol }}
{{- if .Values.kafka.ca.secret }}{{ .Values.kafka.ca.secret }}
{{- else if and .Values.strimzi.enabled (not .Values.kafka.brokers) }}{{ .Values.strimzi.cluster }}-cluster-ca-cert
{{- end }}
{{- end }}
{{- end }}

{{- define "evometrics.clickhouseUrl" -}}
{{- if .Values.clickhouse.url }}{{ .Values.clickhouse.url }}
{{- else if .Values.clickhouse.operator.create }}{{ printf "http://clickhouse-%s.%s.svc:8123" .Values.clickhouse.operator.name .Release.Namespace }}
{{- else }}{{ fail "name ClickHouse: clickhouse.url, or clickhouse.operator.create" }}
{{- end }}
{{- end }}

{{/* With several replicas of its own the tables are those of a cluster: {cluster} is the operator's macro. */}}
{{- define "evometrics.clickhouseCluster" -}}
{{- if .Values.clickhouse.cluster }}{{ .Values.clickhouse.cluster }}
{{- else if and .Values.clickhouse.operator.create (gt (int .Values.clickhouse.operator.replicas) 1) }}{cluster}
{{- end }}
{{- end }}

{{/* Settings of a part: dict "root" $ "kafka" ROLE "clickhouse" USER; either may be missing. Secrets are files. */}}
{{- define "evometrics.env" -}}
- {name: EVOMETRICS_LOG_FORMAT, value: {{ .root.Values.log.format }}}
- {name: EVOMETRICS_LOG_LEVEL, value: {{ .root.Values.log.level }}}
{{- with .kafka }}
- {name: EVOMETRICS_KAFKA_BROKERS, value: {{ include "evometrics.brokers" $.root | quote }}}
- {name: EVOMETRICS_KAFKA_PARTITIONS, value: {{ $.root.Values.kafka.partitions | quote }}}
- {name: EVOMETRICS_KAFKA_REPLICATION, value: {{ $.root.Values.kafka.replication | quote }}}
- {name: EVOMETRICS_KAFKA_SECURITY_PROTOCOL, value: {{ $.root.Values.kafka.securityProtocol }}}
{{- if include "evometrics.sasl" $.root }}
- {name: EVOMETRICS_KAFKA_SASL_MECHANISM, value: {{ $.root.Values.kafka.saslMechanism }}}
- {name: EVOMETRICS_KAFKA_SASL_PLAIN_USERNAME, value: {{ include "evometrics.kafkaUser" (dict "root" $.root "role" .) | quote }}}
- {name: EVOMETRICS_KAFKA_SASL_PLAIN_PASSWORD_FILE, value: /etc/evometrics/kafka-user/password}
{{- end }}
{{- if include "evometrics.kafkaCa" $.root }}
- {name: EVOMETRICS_KAFKA_SSL_CAFILE, value: /etc/evometrics/kafka-ca/ca.crt}
{{- end }}
{{- end }}
{{- with .root.Values.registry }}
{{- if .url }}
- {name: EVOMETRICS_KAFKA_REGISTRY_URL, value: {{ .url | quote }}}
- {name: EVOMETRICS_KAFKA_REGISTRY_READ_ONLY, value: {{ .readOnly | quote }}}
{{- if .user.name }}
- {name: EVOMETRICS_KAFKA_REGISTRY_USER, value: {{ .user.name | quote }}}
- {name: EVOMETRICS_KAFKA_REGISTRY_PASSWORD_FILE, value: /etc/evometrics/registry-user/password}
{{- end }}
{{- end }}
{{- end }}
{{- with .clickhouse }}
- {name: EVOMETRICS_CLICKHOUSE_URL, value: {{ include "evometrics.clickhouseUrl" $.root | quote }}}
- {name: EVOMETRICS_CLICKHOUSE_DATABASE, value: {{ $.root.Values.clickhouse.database }}}
{{- with include "evometrics.clickhouseCluster" $.root }}
- {name: EVOMETRICS_CLICKHOUSE_CLUSTER, value: {{ . | quote }}}
{{- end }}
- {name: EVOMETRICS_CLICKHOUSE_USER, value: {{ (index $.root.Values.clickhouse.users .).name | quote }}}
- {name: EVOMETRICS_CLICKHOUSE_PASSWORD_FILE, value: /etc/evometrics/clickhouse-user/password}
{{- if $.root.Values.clickhouse.ca.secret }}
- {name: EVOMETRICS_CLICKHOUSE_CA_CERT, value: /etc/evometrics/clickhouse-ca/ca.crt}
{{- end }}
{{- end }}
{{- end }}

{{/* The Secrets of a part: their volumes, as a map from a name to Secret, key and file. */}}
{{- define "evometrics.secrets" -}}
{{- $root := .root }}
{{- with .kafka }}
{{- if include "evometrics.sasl" $root }}
kafka-user: {secret: {{ include "evometrics.kafkaSecret" (dict "root" $root "role" .) }}, key: {{ (index $root.Values.kafka.users .).key }}, file: password}
{{- end }}
{{- with include "evometrics.kafkaCa" $root }}
kafka-ca: {secret: {{ . }}, key: {{ $root.Values.kafka.ca.key }}, file: ca.crt}
{{- end }}
{{- end }}
{{- if and $root.Values.registry.url $root.Values.registry.user.name }}
registry-user: {secret: {{ required "registry.user.secret: the Secret with the password" $root.Values.registry.user.secret }}, key: {{ $root.Values.registry.user.key }}, file: password}
{{- end }}
{{- with .clickhouse }}
{{- $user := index $root.Values.clickhouse.users . }}
clickhouse-user: {secret: {{ required (printf "clickhouse.users.%s.secret: the Secret with the password" .) $user.secret }}, key: {{ $user.key }}, file: password}
{{- if $root.Values.clickhouse.ca.secret }}
clickhouse-ca: {secret: {{ $root.Values.clickhouse.ca.secret }}, key: {{ $root.Values.clickhouse.ca.key }}, file: ca.crt}
{{- end }}
{{- end }}
{{- end }}

{{- define "evometrics.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: home, mountPath: /var/lib/evometrics}
{{- range $name, $_ := include "evometrics.secrets" . | fromYaml }}
- {name: {{ $name }}, mountPath: /etc/evometrics/{{ $name }}, readOnly: true}
{{- end }}
{{- end }}

{{- define "evometrics.volumes" -}}
- {name: tmp, emptyDir: {}}
- {name: home, emptyDir: {}}
{{- range $name, $own := include "evometrics.secrets" . | fromYaml }}
- name: {{ $name }}
  secret: {secretName: {{ $own.secret }}, defaultMode: 0440, items: [{key: {{ $own.key }}, path: {{ $own.file }}}]}
{{- end }}
{{- end }}

{{/* What every pod has. */}}
{{- define "evometrics.pod" -}}
serviceAccountName: {{ include "evometrics.fullname" . }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "evometrics.container" -}}
image: {{ include "evometrics.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsUser: 10001
  runAsGroup: 10001
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "evometrics.placement" -}}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "evometrics.selector" . | nindent 14 }}
{{- with (index .root.Values .part).nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with (index .root.Values .part).tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The port of an address, or what its scheme means: dict "url" URL "plain" PORT "secure" PORT. */}}
{{- define "evometrics.port" -}}
{{- $parts := urlParse .url }}
{{- $host := regexFind ":[0-9]+$" $parts.host }}
{{- if $host }}{{ trimPrefix ":" $host }}{{ else if eq $parts.scheme "https" }}{{ .secure }}{{ else }}{{ .plain }}{{ end }}
{{- end }}
