{{- /* Labels by which the pods of this release are found; they never change. */ -}}
{{- define "aegisbpf.selector" -}}
app.kubernetes.io/name: aegisbpf
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "aegisbpf.labels" -}}
{{ include "aegisbpf.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "aegisbpf.name" -}}
{{ printf "%s-aegisbpf" .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "aegisbpf.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- /* Files that values bring, and where below /etc/aegisbpf the agent looks for them. */ -}}
{{- define "aegisbpf.places" -}}
rules: rules.d
policies: policies.d
config: config.d
suppressions: suppressions.d
keys: keys
{{- end }}
