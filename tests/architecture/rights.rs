//! Checks that the documented rights of the `ServiceAccount` are those that the roles in the manifests grant.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

const PAGE: &str = "docs/install.md";
const ROLES: [&str; 3] = [
    "manifests/base/02-facts-role.yaml",
    "manifests/base/03-certificates-role.yaml",
    "manifests/scanner/08-scanner-role.yaml",
];

/// A right: resource, name or `any`, verb, and where.
type Right = (String, String, String, String);

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a file of the checkout")
}

fn granted() -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for path in ROLES {
        for document in read(path).split("\n---\n") {
            let object: Value = serde_saphyr::from_str(document).expect("the manifest is valid YAML");
            let namespace = match object["kind"].as_str() {
                Some("ClusterRole") => "cluster",
                Some("Role") => object["metadata"]["namespace"].as_str().expect("a Role has one"),
                _ => continue,
            };
            for rule in object["rules"].as_array().expect("a role has rules") {
                rights.extend(of_rule(rule, namespace));
            }
        }
    }
    rights
}

fn of_rule(rule: &Value, namespace: &str) -> Vec<Right> {
    let texts = |field: &str| -> Vec<String> {
        let texts = rule[field].as_array().into_iter().flatten();
        texts.map(|text| text.as_str().expect("rules are made of texts").to_owned()).collect()
    };
    let mut names = texts("resourceNames");
    if names.is_empty() {
        names.push("any".to_owned());
    }
    let mut rights = Vec::new();
    for group in texts("apiGroups") {
        for resource in texts("resources") {
            let resource = if group.is_empty() { resource } else { format!("{resource}.{group}") };
            for name in &names {
                rights.extend(
                    texts("verbs")
                        .into_iter()
                        .map(|verb| (resource.clone(), name.clone(), verb, namespace.to_owned())),
                );
            }
        }
    }
    rights
}

fn documented() -> BTreeSet<Right> {
    let page = read(PAGE);
    let (_, table) = page.split_once("<!-- rights -->").expect("the table begins so");
    let (table, _) = table.split_once("<!-- end of rights -->").expect("the table ends so");
    let list = |cell: &str| -> Vec<String> {
        cell.split(',').map(|text| text.trim().trim_matches('`').to_owned()).collect()
    };
    let mut rights = BTreeSet::new();
    // Behind the head and the line below it.
    for row in table.lines().filter(|line| line.starts_with('|')).skip(2) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, resources, names, verbs, place, why, _] = cells[..] else { panic!("five columns: {row}") };
        assert!(!why.is_empty(), "{row}");
        for resource in list(resources) {
            for name in list(names) {
                for verb in list(verbs) {
                    rights.insert((resource.clone(), name.clone(), verb, place.to_owned()));
                }
            }
        }
    }
    rights
}

#[test]
fn the_page_lists_every_right_of_the_service_account_and_no_other() {
    let (granted, documented) = (granted(), documented());
    let unsaid: Vec<_> = granted.difference(&documented).collect();
    let untrue: Vec<_> = documented.difference(&granted).collect();
    assert!(unsaid.is_empty() && untrue.is_empty(), "{PAGE} lacks {unsaid:?} and claims {untrue:?}");
    assert!(granted.len() > 20, "{granted:?}");
}
