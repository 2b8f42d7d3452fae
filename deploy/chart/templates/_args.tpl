{{- define "rtshield.args" }}
            {{- with .Values.engine }}
            - --engine={{ . }}
            {{- end }}
            {{- with .Values.config }}
            - --config={{ . }}
            {{- end }}
            {{- range .Values.units }}
            - --unit={{ . }}
            {{- end }}
            {{- if ne .Values.labels "auto" }}
            - --labels={{ .Values.labels }}
            {{- end }}
            {{- if ne .Values.metrics "auto" }}
            - --metrics={{ .Values.metrics }}
            {{- end }}
{{- end }}
