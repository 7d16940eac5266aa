//! CEL rules of `x-kubernetes-validations`, evaluated over the nodes of a YAML document without a copy.

use std::sync::{Arc, LazyLock, Mutex, OnceLock};

use cel::common::traits::{Indexer, Sizer};
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelNull, CelString, MAP_TYPE, Type};
use cel::common::value::{CowVal, Val};
use cel::{Context, Env, ExecutionError, Program, Value as CelValue};
use foldhash::HashMap;
use serde_json::Value;

use super::model::Schema;
use crate::json::Kind;
use crate::yaml::{Node, boolean, number};

/// The functions of CEL's standard library. Those that Kubernetes adds, such as `isURL`, are unknown: no CRD of Flux uses them.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// How many different values the rules of a schema are remembered for.
const MAX_REMEMBERED: usize = 1_000;

/// Whether a value satisfies each of some rules; `None` where that cannot be evaluated here.
type Outcomes = Arc<[Option<bool>]>;

/// The rules of a schema.
#[derive(Debug, Default)]
pub(super) struct Rules {
    all: Vec<Rule>,
    /// The fields that they depend on; `None` where their texts do not tell all.
    fields: Option<Vec<Field>>,
    /// What they came to, by all that they depend on. Most values are alike in that, and to evaluate a rule takes longer than to
    /// validate the value otherwise.
    known: Mutex<HashMap<Vec<u8>, Outcomes>>,
}

/// A field that a rule depends on.
#[derive(Debug, PartialEq, Eq)]
struct Field {
    /// Its names from `self` on.
    path: Vec<Box<str>>,
    /// Whether the rule depends on its value, and not only on whether it is there.
    by_value: bool,
}

/// A rule.
#[derive(Debug)]
pub(super) struct Rule {
    expression: Box<str>,
    /// Shown where it does not hold; the rule itself where it has none.
    pub(super) message: Box<str>,
    /// Compiled on first use; `None` where it cannot be.
    program: OnceLock<Option<Program>>,
}

/// A map of an object.
#[derive(Debug, Clone, Copy)]
struct Object<'n> {
    node: &'n Node<'n>,
    schema: Option<Schema<'n>>,
}

// === impl Rules ===

impl Rules {
    pub(super) fn of<'v>(rules: impl Iterator<Item = &'v Value>) -> Self {
        let all: Vec<Rule> = rules.map(Rule::of).collect();
        let fields: Option<Vec<Vec<Field>>> = all.iter().map(|rule| fields(&rule.expression)).collect();
        Self {
            all,
            fields: fields.map(|fields| fields.into_iter().flatten().collect()),
            known: Mutex::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Each rule, and whether a value satisfies it; `None` where that cannot be evaluated here.
    pub(super) fn evaluate<'r>(
        &'r self,
        node: &Node<'_>,
        schema: Schema<'_>,
    ) -> impl Iterator<Item = (&'r Rule, Option<bool>)> + use<'r> {
        let key = self.fields.as_ref().and_then(|fields| key_of(fields, node));
        let known = || self.known.lock().expect("nothing panics while it holds the lock");
        let remembered = key.as_ref().and_then(|key| known().get(key).cloned());
        let outcomes = remembered.unwrap_or_else(|| {
            let value = context(node, schema);
            let outcomes: Outcomes = self.all.iter().map(|rule| rule.holds(&value)).collect();
            if let Some(key) = key {
                let mut known = known();
                if known.len() < MAX_REMEMBERED {
                    known.insert(key, Arc::clone(&outcomes));
                }
            }
            outcomes
        });
        self.all.iter().enumerate().map(move |(index, rule)| (rule, outcomes[index]))
    }
}

/// The fields that a rule depends on; `None` where it has more than `has`, `size`, comparisons, and literals.
fn fields(expression: &str) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    let mut is_presence = false;
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let is_word = |it: char| it.is_ascii_alphanumeric() || matches!(it, '_' | '.');
        let mut length = first.len_utf8();
        match first {
            '\'' => length += rest[1..].find('\'')? + 1,
            _ if is_word(first) => {
                length = rest.find(|it| !is_word(it)).unwrap_or(rest.len());
                let (word, behind) = rest.split_at(length);
                if let Some(path) = word.strip_prefix("self.") {
                    let path = path.split('.').map(Box::from).collect();
                    fields.push(Field { path, by_value: !is_presence });
                } else if !(matches!(word, "has" | "size") && behind.starts_with('('))
                    && word.parse::<u64>().is_err()
                {
                    return None;
                }
                is_presence = word == "has";
            }
            '(' | ')' | '!' | '=' | '&' | '|' | '<' | '>' | ' ' | '\n' => {}
            _ => return None,
        }
        rest = &rest[length..];
    }
    Some(fields)
}

/// What a rule sees of a value; `None` where it compares a list or a map.
fn key_of(fields: &[Field], node: &Node<'_>) -> Option<Vec<u8>> {
    let mut key = Vec::with_capacity(4 * fields.len());
    for Field { path, by_value } in fields {
        let mut value = node;
        let mut depth = 0;
        // A null is not there, and what stands in its place depends on the schema alone.
        while let Some(next) =
            path.get(depth).and_then(|name| value.get(name)).filter(|value| !value.is_null())
        {
            value = next;
            depth += 1;
        }
        key.extend([u8::try_from(depth).ok()?, value.kind() as u8]);
        if *by_value && depth == path.len() {
            let text = &*value.scalar()?.text;
            key.extend(text.len().to_le_bytes());
            key.extend(text.as_bytes());
        }
    }
    Some(key)
}

// === impl Rule ===

impl Rule {
    fn of(rule: &Value) -> Self {
        let expression = rule["rule"].as_str().unwrap_or_default();
        let message =
            rule["message"].as_str().map_or_else(|| format!("failed rule: {expression}"), str::to_owned);
        Self { expression: expression.into(), message: message.into(), program: OnceLock::new() }
    }

    /// Whether a value satisfies it; `None` where it cannot be evaluated here.
    fn holds(&self, value: &Context<'_, '_>) -> Option<bool> {
        let program = self.program.get_or_init(|| Program::compile(&self.expression).ok()).as_ref()?;
        match program.execute(value) {
            Ok(CelValue::Bool(holds)) => Some(holds),
            _ => None,
        }
    }
}

/// A value as all of its rules see it.
fn context<'n>(node: &'n Node<'_>, schema: Schema<'n>) -> Context<'n, 'n> {
    let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
    context.add_variable_as_val("self", value(node, Some(schema)));
    context
}

/// The CEL value of a node.
fn value<'n>(node: &'n Node<'_>, schema: Option<Schema<'n>>) -> Box<dyn Val + 'n> {
    let text = node.scalar().map_or("", |scalar| &*scalar.text);
    match node.kind() {
        Kind::Null => Box::new(CelNull),
        Kind::Boolean => Box::new(CelBool::from(boolean(text) == Some("true"))),
        Kind::Number => {
            let text = number(text).unwrap_or_default();
            match text.parse::<i64>() {
                Ok(number) => Box::new(CelInt::from(number)),
                Err(_) => Box::new(CelDouble::from(text.parse().unwrap_or(f64::NAN))),
            }
        }
        Kind::String => Box::new(CelString::from(text)),
        Kind::Array => {
            let schema = schema.and_then(Schema::items);
            let items: Vec<_> = node.items().iter().map(|item| value(item, schema)).collect();
            Box::new(CelList::from(items))
        }
        Kind::Object => Box::new(Object { node, schema }),
    }
}

/// The CEL value of a scalar default.
fn default_value<'n>(default: &'n Value) -> Option<Box<dyn Val + 'n>> {
    Some(match default {
        Value::Bool(value) => Box::new(CelBool::from(*value)),
        Value::Number(number) => Box::new(CelInt::from(number.as_i64()?)),
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    })
}

// === impl Object ===

impl Val for Object<'_> {
    fn get_type(&self) -> &Type {
        &MAP_TYPE
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(*self)
    }
}

impl Indexer for Object<'_> {
    fn get<'b, 'v>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let name =
            index.downcast_ref::<CelString<'_>>().ok_or_else(|| ExecutionError::no_such_key("_"))?.inner();
        let schema = self.schema.and_then(|schema| schema.property(name));
        // The API server drops a null where the schema allows none.
        let found = self.node.get(name).filter(|node| !node.is_null());
        let found = found.map(|node| value(node, schema));
        let default = || default_value(schema?.constraints().default.as_ref()?);
        found.or_else(default).map(CowVal::Owned).ok_or_else(|| ExecutionError::no_such_key(name))
    }

    fn steal<'v>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(index).map(CowVal::into_owned)
    }
}

impl Sizer for Object<'_> {
    fn size(&self) -> CelInt {
        i64::try_from(self.node.entries().len()).unwrap_or(i64::MAX).into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Arena;
    use super::*;
    use crate::yaml;

    #[test]
    fn a_rule_tells_what_it_depends_on() {
        let field = |path: &[&str], by_value| Field {
            path: path.iter().map(|name| Box::from(*name)).collect(),
            by_value,
        };
        assert_eq!(
            fields(
                "!has(self.kind) || self.kind != 'OCI ()' || (has(self.spec.url) && size(self.spec.url) > 0)"
            ),
            Some(vec![
                field(&["kind"], false),
                field(&["kind"], true),
                field(&["spec", "url"], false),
                field(&["spec", "url"], true)
            ])
        );
        for unknown in ["self.all(it, it > 1)", "self == oldSelf", "a in self.b", "self.a + 'b' == self.c"] {
            assert_eq!(fields(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn what_is_remembered_is_what_comes_out() {
        let rules = ["has(self.a.b)", "self.a.b == 'c'", "!has(self.a) || size(self.a.b) > 1"];
        let schema = json!({
            "type": "object",
            "properties": {"a": {"type": "object", "properties": {"b": {"type": "string"}}}},
            "x-kubernetes-validations": rules.map(|rule| json!({"rule": rule})),
        });
        let mut arena = Arena::default();
        let id = arena.add(&schema);
        let schema = arena.schema(id);
        let outcomes = |text: &str| {
            let node = yaml::documents(text, 0).remove(0).unwrap();
            let rules = &schema.constraints().rules;
            rules.evaluate(&node, schema).map(|(_, holds)| holds).collect::<Vec<_>>()
        };
        for _ in 0..2 {
            assert_eq!(outcomes("a: {b: c}"), [Some(true), Some(true), Some(false)]);
            assert_eq!(outcomes("a: {b: cd}"), [Some(true), Some(false), Some(true)]);
            assert_eq!(outcomes("a: {}"), [Some(false), None, None]);
            assert_eq!(outcomes("a: {b: null}"), [Some(false), None, None]);
            assert_eq!(outcomes("d: {}"), [None, None, Some(true)]);
            assert_eq!(outcomes("a: ''"), [None, None, None]);
            assert_eq!(outcomes("a: {b: [c]}")[0], Some(true));
        }
        assert_eq!(schema.constraints().rules.known.lock().unwrap().len(), 5);
    }
}
