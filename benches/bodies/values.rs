//! Helm values such as people write: nested maps of short strings, and in large ones dashboards and configuration files as text.

use serde_json::{Map, Value, json};

/// The values of a chart with so many apps and dashboards.
pub(super) fn of_apps(apps: u64, dashboards: u64) -> Value {
    let controllers: Map<_, _> = (0..apps).map(|number| (name(number), controller(number))).collect();
    let services: Map<_, _> = (0..apps).map(|number| (name(number), service(number))).collect();
    let mut values = json!({
        "controllers": controllers,
        "defaultPodOptions": {
            "labels": {"release": "2026-11-20"},
            "securityContext": {
                "fsGroup": 1000,
                "fsGroupChangePolicy": "OnRootMismatch",
                "runAsGroup": 1000,
                "runAsNonRoot": true,
                "runAsUser": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        },
        "service": services,
    });
    for number in 0..dashboards {
        let name = name(number);
        values["grafana"]["dashboards"]["default"][&name]["json"] = json!(dashboard(number));
        values["configMaps"][&name]["data"]["config.yaml"] = json!(configuration(number));
        values["alerts"]["groups"][&name] = json!({"interval": "1m", "rules": alerts(number)});
    }
    values
}

/// So many hexadecimal digits, always the same for the same number.
pub(super) fn hex(number: u64, digits: usize) -> String {
    let mut state = number;
    let words = std::iter::repeat_with(|| {
        // One step of a linear congruential generator; digests need look no more random than that.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{:08x}", state >> 32)
    });
    words.take(digits.div_ceil(8)).collect::<String>()[..digits].to_owned()
}

fn name(number: u64) -> String {
    const NAMES: [&str; 8] =
        ["frontend", "api", "worker", "cache", "indexer", "mail-relay", "billing", "session-store"];
    let name = NAMES[usize::try_from(number).expect("there are few") % NAMES.len()];
    format!("{name}-{number}")
}

fn controller(number: u64) -> Value {
    let name = name(number);
    let probe = |path: &str| {
        json!({"custom": true, "enabled": true, "spec": {
            "failureThreshold": 3,
            "httpGet": {"path": path, "port": 8080 + number},
            "initialDelaySeconds": 0,
            "periodSeconds": 10,
            "timeoutSeconds": 1,
        }})
    };
    json!({
        "annotations": {"reloader.stakater.com/auto": "true"},
        "containers": {"app": {
            "env": {
                "CACHE_URL": "redis://cache.databases.svc.cluster.local:6379/0",
                "LOG_LEVEL": "info",
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel-collector.observability:4317",
                "PORT": (8080 + number).to_string(),
                "POSTGRES_PASSWORD": {"valueFrom": {"secretKeyRef": {"key": "password", "name": format!("{name}-db")}}},
                "TZ": "Europe/Berlin",
            },
            "image": {
                "repository": format!("ghcr.io/example-org/{name}"),
                "tag": format!("1.{number}.4@sha256:{}", hex(number, 64)),
            },
            "probes": {"liveness": probe("/healthz"), "readiness": probe("/readyz")},
            "resources": {"limits": {"memory": "512Mi"}, "requests": {"cpu": "10m", "memory": "128Mi"}},
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": true,
            },
        }},
        "replicas": 2,
        "strategy": "RollingUpdate",
    })
}

fn service(number: u64) -> Value {
    json!({"controller": name(number), "ports": {"http": {"port": 8080 + number}, "metrics": {"port": 9090}}})
}

/// A dashboard as Grafana exports it: JSON in a string, so nearly every second word is escaped.
fn dashboard(number: u64) -> String {
    let panels: Vec<_> = (0..6)
        .map(|panel| {
            json!({
                "datasource": {"type": "prometheus", "uid": "${datasource}"},
                "fieldConfig": {"defaults": {"unit": "reqps", "thresholds": {"mode": "absolute", "steps": [{"color": "green"}]}}},
                "gridPos": {"h": 8, "w": 12, "x": 12 * (panel % 2), "y": 8 * (panel / 2)},
                "targets": [{
                    "expr": format!("sum(rate(http_requests_total{{app=\"{}\",code=~\"5..\"}}[$__rate_interval])) by (pod) > 0", name(number)),
                    "legendFormat": "{{pod}} & {{code}}",
                }],
                "title": format!("Errors {panel}"),
                "type": "timeseries",
            })
        })
        .collect();
    let dashboard = json!({"panels": panels, "refresh": "30s", "schemaVersion": 39, "title": name(number), "uid": hex(number, 16)});
    serde_json::to_string_pretty(&dashboard).expect("a value can always be written")
}

/// A configuration file as a block scalar.
fn configuration(number: u64) -> String {
    let upstream = name(number);
    let route = |version| {
        format!(
            "  - match: /{}/v{version}/*\n    upstream: \"http://{upstream}:8080\"\n    timeout: 30s\n    # retried once <idempotent>",
            name(version)
        )
    };
    let routes: Vec<_> = (0..20).map(route).collect();
    format!("server:\n  listen: 0.0.0.0:8080\n  read_timeout: 15s\nroutes:\n{}\n", routes.join("\n"))
}

fn alerts(number: u64) -> Value {
    let name = name(number);
    let rule = |what: &str, condition: &str| {
        json!({
            "alert": format!("{what} of {name}"),
            "annotations": {
                "description": format!("{{{{ $labels.pod }}}} has been beyond its objective for ten minutes ({condition})"),
                "runbook_url": format!("https://runbooks.example.com/{name}#{what}"),
            },
            "expr": format!("{what}{{app=\"{name}\"}} {condition}"),
            "for": "10m",
            "labels": {"severity": "warning", "team": "apps"},
        })
    };
    json!([
        rule("latency_seconds:p99", "> 0.5"),
        rule("errors:ratio", "> 0.01"),
        rule("saturation", ">= 0.9")
    ])
}
