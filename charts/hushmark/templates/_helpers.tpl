{{/* The stack's names are the release's name and a suffix; the longest has to fit into a label. */}}
{{- define "hushmark.fullname" -}}
{{- if gt (len .Release.Name) 40 }}
{{- fail (printf "the release's name %q is too long: 40 characters at most, because names of pods and Secrets begin with it" .Release.Name) }}
{{- end }}
{{- if not (regexMatch "^[a-z]([a-z0-9-]*[a-z0-9])?$" .Release.Name) }}
{{- fail (printf "the release's name %q begins names of Services: a letter first, then letters, digits and -" .Release.Name) }}
{{- end }}
{{- .Release.Name }}
{{- end }}

{{- define "hushmark.operator" -}}
{{ include "hushmark.fullname" . }}-operator
{{- end }}

{{/* Cluster-scoped names carry the namespace: two regions of one cluster may share a release's name. */}}
{{- define "hushmark.clusterName" -}}
hushmark:{{ .Release.Namespace }}:{{ include "hushmark.fullname" . }}
{{- end }}

{{- define "hushmark.region" -}}
{{ .Values.region.name | default .Release.Name }}
{{- end }}

{{/* What selectors use: it never changes while a release lives. */}}
{{- define "hushmark.selector" -}}
app.kubernetes.io/name: hushmark
app.kubernetes.io/instance: {{ include "hushmark.fullname" . | quote }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "hushmark.labels" -}}
{{ include "hushmark.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
hushmark.io/region: {{ include "hushmark.region" . | quote }}
{{- end }}

{{/* Takes a dict of root and of, an image of the values. */}}
{{- define "hushmark.image" -}}
{{- $name := .of.repository }}
{{- with .root.Values.image.registry }}
{{- $name = printf "%s/%s" . $name }}
{{- end }}
{{- if .of.digest }}
{{- printf "%s@%s" $name .of.digest }}
{{- else }}
{{- printf "%s:%s" $name (.of.tag | default .root.Chart.AppVersion) }}
{{- end }}
{{- end }}

{{/* "true" where an object of that kind of the Prometheus operator is to be made. */}}
{{- define "hushmark.monitors" -}}
{{- $wish := .root.Values.monitoring.prometheusOperator }}
{{- if eq $wish "always" }}true
{{- else if eq $wish "auto" }}
{{- if .root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" .kind) }}true{{ end }}
{{- end }}
{{- end }}

{{/* The APIs of others that the values ask for, as the operator names them. */}}
{{- define "hushmark.optionalApis" -}}
{{- $apis := list }}
{{- with .Values.operator.optionalApis }}
{{- if .gateway }}{{ $apis = append $apis "gateway" }}{{ end }}
{{- if .certManager }}{{ $apis = append $apis "cert-manager" }}{{ end }}
{{- if .clickhouse }}{{ $apis = append $apis "clickhouse" }}{{ end }}
{{- end }}
{{- toYaml $apis }}
{{- end }}

{{/* A namespace is the boundary that Secrets have: an operator reads all of its own. */}}
{{- define "hushmark.aloneInNamespace" -}}
{{- range (lookup "apps/v1" "Deployment" .Release.Namespace "").items }}
{{- $labels := .metadata.labels | default dict }}
{{- if and (eq (get $labels "app.kubernetes.io/name") "hushmark") (eq (get $labels "app.kubernetes.io/component") "operator") (ne (get $labels "app.kubernetes.io/instance") $.Release.Name) }}
{{- fail (printf "the namespace %s already has the region of release %s, and an operator reads every Secret of its namespace: install this one with --namespace of its own and --create-namespace" $.Release.Namespace (get $labels "app.kubernetes.io/instance")) }}
{{- end }}
{{- end }}
{{- end }}
