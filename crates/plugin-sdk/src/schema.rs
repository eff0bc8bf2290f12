//! JSON Schemas of options (2020-12): checked when a plugin starts, held against options before any work. The validator opens no file and no
//! connection: a schema that refers to anything outside itself is refused.

use jsonschema::{Draft, Validator};
use serde_json::{Map, Value};

use crate::strict_json::StrictJson;

/// Most bytes of a schema.
pub const SCHEMA_LEN_MAX: usize = 256 << 10;
/// Most bytes of options.
pub const OPTIONS_LEN_MAX: usize = 64 << 10;
/// Deepest nesting of options and schemas.
const DEPTH_MAX: usize = 32;
/// Most problems that are told of one document.
const PROBLEMS_MAX: usize = 8;

/// A schema cannot be used, or options break it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// The schema itself.
    #[error("schema: {0}")]
    Schema(String),
    /// The options; each problem with its place.
    #[error("options: {}", .0.join("; "))]
    Options(Vec<String>),
}

/// A schema that is known to be usable.
pub struct Schema {
    text: String,
    document: Value,
    validator: Validator,
}

impl Schema {
    /// Takes a schema of an object that allows no other properties than it names.
    ///
    /// # Errors
    /// [`SchemaError::Schema`] where it is no such schema, is no JSON, refers to something outside itself, or has a default that breaks it.
    pub fn new(text: &str) -> Result<Self, SchemaError> {
        let wrong = |detail: &str| SchemaError::Schema(detail.to_owned());
        if text.len() > SCHEMA_LEN_MAX {
            return Err(SchemaError::Schema(format!("{} bytes, {SCHEMA_LEN_MAX} are allowed", text.len())));
        }
        let document: Value =
            serde_json::from_str(text).map_err(|error| SchemaError::Schema(format!("no JSON: {error}")))?;
        check_depth(&document, DEPTH_MAX).ok_or_else(|| wrong("nested deeper than 32 levels"))?;
        if document.get("type") != Some(&Value::from("object")) {
            return Err(wrong("`type` must be `object`: options are an object"));
        }
        if document.get("additionalProperties") != Some(&Value::Bool(false)) {
            return Err(wrong("`additionalProperties` must be false: a mistyped option would be ignored"));
        }
        check_references(&document)?;
        jsonschema::draft202012::meta::validate(&document)
            .map_err(|error| SchemaError::Schema(format!("breaks JSON Schema 2020-12: {error}")))?;
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .should_validate_formats(true)
            .build(&document)
            .map_err(|error| SchemaError::Schema(error.to_string()))?;
        let schema = Schema { text: text.to_owned(), document, validator };
        schema.check_defaults()?;
        Ok(schema)
    }

    /// The schema's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Options with the schema's defaults, as compact JSON with sorted names. Empty text is an empty object.
    ///
    /// # Errors
    /// [`SchemaError::Options`] with every place that breaks the schema, 8 at most.
    pub fn apply(&self, options: &str) -> Result<String, SchemaError> {
        let wrong = |detail: String| SchemaError::Options(vec![detail]);
        if options.len() > OPTIONS_LEN_MAX {
            return Err(wrong(format!("{} bytes, {OPTIONS_LEN_MAX} are allowed", options.len())));
        }
        let text = if options.is_empty() { "{}" } else { options };
        let StrictJson(mut value) =
            serde_json::from_str(text).map_err(|error| wrong(format!("no JSON: {error}")))?;
        check_depth(&value, DEPTH_MAX).ok_or_else(|| wrong("nested deeper than 32 levels".into()))?;
        set_defaults(&self.document, &mut value);
        let problems: Vec<String> = self
            .validator
            .iter_errors(&value)
            .take(PROBLEMS_MAX)
            .map(|error| match error.instance_path().as_str() {
                "" => error.to_string(),
                path => format!("{path}: {error}"),
            })
            .collect();
        if problems.is_empty() { Ok(value.to_string()) } else { Err(SchemaError::Options(problems)) }
    }

    /// Defaults that break their own property would turn good options into bad ones.
    fn check_defaults(&self) -> Result<(), SchemaError> {
        let Some(properties) = self.document.get("properties").and_then(Value::as_object) else {
            return Ok(());
        };
        for (name, property) in properties {
            let Some(default) = property.get("default") else { continue };
            let mut alone = property.clone();
            if let (Some(alone), Some(definitions)) = (alone.as_object_mut(), self.document.get("$defs")) {
                alone.insert("$defs".into(), definitions.clone());
            }
            let validator = jsonschema::options().with_draft(Draft::Draft202012).build(&alone);
            let validator = validator.map_err(|error| SchemaError::Schema(error.to_string()))?;
            if !validator.is_valid(default) {
                return Err(SchemaError::Schema(format!("the default of `{name}` breaks its own schema")));
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Schema {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Schema").field(&self.text).finish()
    }
}

/// Puts the defaults of properties that are left out, at every level of nested objects that are there.
fn set_defaults(schema: &Value, value: &mut Value) {
    let (Some(properties), Some(object)) =
        (schema.get("properties").and_then(Value::as_object), value.as_object_mut())
    else {
        return;
    };
    for (name, property) in properties {
        match object.get_mut(name) {
            Some(inner) => set_defaults(property, inner),
            None => {
                if let Some(default) = property.get("default") {
                    object.insert(name.clone(), default.clone());
                }
            }
        }
    }
}

/// Nothing where `value` is nested deeper than `depth`.
fn check_depth(value: &Value, depth: usize) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    match value {
        Value::Array(values) => values.iter().try_for_each(|value| check_depth(value, depth)),
        Value::Object(values) => values.values().try_for_each(|value| check_depth(value, depth)),
        _ => Some(()),
    }
}

/// References must stay within the document.
fn check_references(value: &Value) -> Result<(), SchemaError> {
    match value {
        Value::Array(values) => values.iter().try_for_each(check_references),
        Value::Object(values) => {
            check_own_references(values)?;
            values.values().try_for_each(check_references)
        }
        _ => Ok(()),
    }
}

fn check_own_references(object: &Map<String, Value>) -> Result<(), SchemaError> {
    for name in ["$ref", "$dynamicRef"] {
        let Some(target) = object.get(name).and_then(Value::as_str) else { continue };
        if !target.starts_with('#') {
            return Err(SchemaError::Schema(format!(
                "`{name}` is {target:?}: references stay within the schema, as `#/$defs/…`"
            )));
        }
    }
    Ok(())
}
