//! Options against schemas: what is wrong is refused with its place, what is left out gets its default, and nothing is fetched.

use coffer_plugin_sdk::{Schema, SchemaError};

const SCHEMA: &str = r##"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "name": {"type": "string", "minLength": 1, "maxLength": 20, "pattern": "^[a-z][a-z0-9-]*$"},
    "count": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3},
    "ratio": {"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.5, "default": 0.5},
    "mode": {"enum": ["fast", "safe"], "default": "safe"},
    "on": {"type": "boolean", "default": true},
    "note": {"type": ["string", "null"], "default": null},
    "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "uniqueItems": true, "maxItems": 3, "default": []},
    "pair": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": false, "minItems": 2},
    "when": {"type": "string", "format": "date-time"},
    "where": {"type": "object", "properties": {"zone": {"type": "string", "default": "a"}, "port": {"type": "integer"}}, "required": ["port"], "additionalProperties": false},
    "kind": {"const": "x"},
    "size": {"oneOf": [{"type": "integer"}, {"type": "string", "pattern": "^[0-9]+Gi$"}]},
    "labels": {"type": "object", "maxProperties": 2, "propertyNames": {"pattern": "^[a-z]+$"}, "additionalProperties": {"type": "string"}}
  },
  "required": ["name"],
  "dependentRequired": {"when": ["note"]},
  "if": {"properties": {"mode": {"const": "fast"}}},
  "then": {"not": {"required": ["labels"]}},
  "additionalProperties": false,
  "$defs": {"tag": {"type": "string", "minLength": 1, "maxLength": 5}}
}"##;

/// Values that a property must not have.
const BAD_VALUES: [(&str, &[&str]); 13] = [
    (
        "name",
        &[
            "null",
            "1",
            "true",
            "[]",
            "{}",
            "\"\"",
            "\"A\"",
            "\"1a\"",
            "\"a b\"",
            "\"aaaaaaaaaaaaaaaaaaaaa\"",
            "\"a\\n\"",
            "\"é\"",
        ],
    ),
    ("count", &["null", "\"1\"", "0", "10", "1.5", "-1", "true", "[]", "{}", "1e9", "\"\""]),
    ("ratio", &["null", "\"0.5\"", "0", "-0.5", "0.3", "true", "[]", "{}"]),
    ("mode", &["null", "\"FAST\"", "\"\"", "1", "true", "[\"fast\"]", "{}", "\"fast \""]),
    ("on", &["null", "\"true\"", "1", "0", "\"\"", "[]", "{}"]),
    ("note", &["1", "true", "[]", "{}", "0.5"]),
    (
        "tags",
        &[
            "null",
            "\"a\"",
            "{}",
            "[1]",
            "[\"\"]",
            "[\"aaaaaa\"]",
            "[\"a\",\"a\"]",
            "[\"a\",\"b\",\"c\",\"d\"]",
            "[null]",
            "[[]]",
            "[{}]",
        ],
    ),
    ("pair", &["null", "[]", "[\"a\"]", "[1,\"a\"]", "[\"a\",1,2]", "[\"a\",1.5]", "\"a\"", "{}"]),
    (
        "when",
        &[
            "null",
            "1",
            "\"\"",
            "\"today\"",
            "\"2026-13-01T00:00:00Z\"",
            "\"2026-01-32T00:00:00Z\"",
            "\"2026-01-01\"",
            "\"2026-01-01 00:00\"",
        ],
    ),
    (
        "where",
        &[
            "null",
            "[]",
            "{}",
            "{\"port\":\"1\"}",
            "{\"port\":1,\"x\":1}",
            "{\"zone\":1,\"port\":1}",
            "{\"port\":null}",
            "\"a\"",
            "{\"Port\":1}",
        ],
    ),
    ("kind", &["null", "\"X\"", "\"\"", "1", "[\"x\"]", "{}"]),
    ("size", &["null", "1.5", "\"1\"", "\"Gi\"", "\"1gi\"", "true", "[]", "{}"]),
    (
        "labels",
        &[
            "null",
            "[]",
            "{\"A\":\"b\"}",
            "{\"a\":1}",
            "{\"a\":\"b\",\"c\":\"d\",\"e\":\"f\"}",
            "{\"\":\"a\"}",
            "{\"a\":null}",
            "\"a\"",
        ],
    ),
];

/// Whole documents that are wrong.
const BAD_DOCUMENTS: [&str; 25] = [
    "",
    " ",
    "null",
    "[]",
    "\"a\"",
    "1",
    "true",
    "{",
    "}",
    "{}}",
    "{\"name\"}",
    "{'name':'a'}",
    "{\"name\":\"a\",}",
    "{\"name\":\"a\"} x",
    "{\"name\":\"a\",\"name\":\"b\"}",
    "{\"name\":\"a\",\"extra\":1}",
    "{\"Name\":\"a\"}",
    "{\"name \":\"a\"}",
    "{\"name\":\"a\",\"where\":{\"port\":1,\"port\":2}}",
    "{\"name\":NaN}",
    "{\"name\":\"a\",\"ratio\":1e999}",
    "{\"name\":\"\\ud800\"}",
    "{\"name\":\"a\",\"mode\":\"fast\",\"labels\":{}}",
    "{\"name\":\"a\",\"__proto__\":{}}",
    "{\"name\":\"a\",\"$ref\":\"file:///etc/passwd\"}",
];

fn schema() -> Schema {
    Schema::new(SCHEMA).expect("a schema")
}

#[test]
fn bad_documents_are_refused() {
    let schema = schema();
    let mut tried = 0;
    let mut check = |document: &str| {
        tried += 1;
        let refused =
            matches!(schema.apply(document), Err(SchemaError::Options(problems)) if !problems.is_empty());
        assert!(refused, "{document} was taken: {:?}", schema.apply(document));
    };
    for (name, values) in BAD_VALUES {
        for value in values {
            match name {
                "name" => check(&format!("{{\"name\":{value}}}")),
                _ => check(&format!("{{\"name\":\"a\",\"{name}\":{value}}}")),
            }
        }
    }
    BAD_DOCUMENTS.into_iter().for_each(&mut check);
    check(&format!("{{\"name\":\"a\",\"tags\":{}1{}}}", "[".repeat(100), "]".repeat(100)));
    check(&format!("{{\"name\":\"a\",\"note\":\"{}\"}}", "x".repeat(64 << 10)));
    assert!(tried >= 120, "{tried} documents were tried");
}

#[test]
fn defaults_fill_what_is_left_out_and_change_nothing_else() {
    let schema = schema();
    let applied = schema.apply(r#"{"where":{"port":1},"name":"a","on":false}"#).expect("good options");
    let expected = r#"{"count":3,"mode":"safe","name":"a","note":null,"on":false,"ratio":0.5,"tags":[],"where":{"port":1,"zone":"a"}}"#;
    assert_eq!(applied, expected);
    assert_eq!(schema.apply(&applied).expect("its own output"), applied);
}

#[test]
fn problems_say_where_they_are() {
    let Err(SchemaError::Options(problems)) =
        schema().apply(r#"{"name":"a","count":0,"where":{"port":"x"}}"#)
    else {
        panic!("bad options were taken");
    };
    assert!(problems.iter().any(|problem| problem.starts_with("/count: ")), "{problems:?}");
    assert!(problems.iter().any(|problem| problem.starts_with("/where/port: ")), "{problems:?}");
}

#[test]
fn schemas_that_cannot_be_relied_on_are_refused() {
    let check =
        |text: &str| assert!(matches!(Schema::new(text), Err(SchemaError::Schema(_))), "{text} was taken");
    check("");
    check("true");
    check(r#"{"type":"object"}"#);
    check(r#"{"type":"array","additionalProperties":false}"#);
    check(r#"{"type":"object","additionalProperties":{}}"#);
    check(r#"{"type":"object","additionalProperties":false,"properties":{"a":{"type":"strin"}}}"#);
    check(
        r#"{"type":"object","additionalProperties":false,"properties":{"a":{"type":"string","pattern":"("}}}"#,
    );
    check(
        r#"{"type":"object","additionalProperties":false,"properties":{"a":{"type":"integer","default":"x"}}}"#,
    );
    // Nothing is fetched: neither over the network nor from a disk.
    check(
        r#"{"type":"object","additionalProperties":false,"properties":{"a":{"$ref":"https://example.com/schema.json"}}}"#,
    );
    check(
        r#"{"type":"object","additionalProperties":false,"properties":{"a":{"$ref":"file:///etc/hostname"}}}"#,
    );
    check(
        r#"{"type":"object","additionalProperties":false,"properties":{"a":{"$dynamicRef":"other.json#a"}}}"#,
    );
    check(r##"{"type":"object","additionalProperties":false,"properties":{"a":{"$ref":"#/$defs/none"}}}"##);
    check(&format!(
        r#"{{"type":"object","additionalProperties":false,"not":{}{{}}{}}}"#,
        "{\"not\":".repeat(60),
        "}".repeat(60)
    ));
}
