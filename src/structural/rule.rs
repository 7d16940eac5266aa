//! CEL rules of `x-kubernetes-validations`, evaluated over the nodes of a YAML document without a copy.

use std::sync::{Arc, LazyLock, OnceLock};

use cel::common::traits::{Indexer, Sizer};
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelNull, CelString, MAP_TYPE, Type};
use cel::common::value::{CowVal, Val};
use cel::{Context, Env, ExecutionError, Program, Value as CelValue};
use serde_json::Value;

use super::model::Schema;
use crate::json::Kind;
use crate::yaml::{Node, boolean, number};

/// The functions of CEL's standard library. Those that Kubernetes adds, such as `isURL`, are unknown: no CRD of Flux uses them.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

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

// === impl Rule ===

impl Rule {
    pub(super) fn of(rule: &Value) -> Self {
        let expression = rule["rule"].as_str().unwrap_or_default();
        let message =
            rule["message"].as_str().map_or_else(|| format!("failed rule: {expression}"), str::to_owned);
        Self { expression: expression.into(), message: message.into(), program: OnceLock::new() }
    }

    /// Whether a value satisfies it; `None` where it cannot be evaluated here.
    pub(super) fn holds(&self, value: &Context<'_, '_>) -> Option<bool> {
        let program = self.program.get_or_init(|| Program::compile(&self.expression).ok()).as_ref()?;
        match program.execute(value) {
            Ok(CelValue::Bool(holds)) => Some(holds),
            _ => None,
        }
    }
}

/// A value as all of its rules see it.
pub(super) fn context<'n>(node: &'n Node<'_>, schema: Schema<'n>) -> Context<'n, 'n> {
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
