module github.com/rtshield/rtshield/integration/kubernetes

go 1.26.8

require (
	github.com/rtshield/rtshield v0.0.0
	k8s.io/utils v0.0.0-20260707023825-cf1189d6abe3
	sigs.k8s.io/yaml v1.6.0
)

require (
	go.yaml.in/yaml/v2 v2.4.2 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/rtshield/rtshield => ../..
