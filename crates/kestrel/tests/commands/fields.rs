//! `kestrel fields`

use serde_json::json;

use super::Place;

#[test]
fn each_field_has_its_type_source_tiers_operations_and_meaning() {
    let place = Place::with(&[]);
    let all = place.kestrel(&["fields", "-o", "json"]).json();
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), model::field::FIELDS.len());
    for field in all {
        for key in ["name", "type", "source", "meaning"] {
            assert!(field[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {field}");
        }
        for tier in ["lsm", "fallback"] {
            assert!(field["tiers"][tier].as_str().is_some_and(|text| !text.is_empty()), "{field}");
        }
        assert!(!field["operations"].as_array().unwrap().is_empty(), "{field}");
    }
    let path = all.iter().find(|field| field["name"] == "file.path").unwrap();
    assert_eq!(path["tiers"], json!({ "lsm": "lsm", "fallback": "fanotify" }));
    assert_eq!((&path["type"], &path["source"]), (&json!("path"), &json!("kernel record")));
}

#[test]
fn a_prefix_chooses_and_one_of_nothing_is_a_finding() {
    let place = Place::with(&[]);
    let done = place.kestrel(&["fields", "process.parent."]);
    let mut lines = done.out.lines();
    let words: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(words, ["FIELD", "TYPE", "TIER", "LSM", "TIER", "FALLBACK", "MEANING"]);
    assert!(lines.clone().count() > 5 && lines.all(|line| line.starts_with("process.parent.")));
    let done = place.kestrel(&["fields", "nonsense"]);
    assert_eq!((done.code, done.err.as_str()), (1, "error: no field starts with `nonsense`\n"));
}
