//! Arguments of functions that scripts call, with the errors of Lua's own argument checks, and how such functions are
//! registered.

use mlua::{IntoLuaMulti, Lua, MaybeSend, MultiValue, Result, Table, Value};

use super::native::{self, Answer};

/// Why a function gives up.
pub enum Stop {
    /// An error line; the place of the caller comes in front.
    Line(String),
    /// An error value as it is.
    Raise(Value),
    /// A bad argument, counted from 1.
    Argument(i32, String),
    /// Lua itself failed: no memory.
    Lua(mlua::Error),
}

/// What such a function returns.
pub type Outcome<T> = std::result::Result<T, Stop>;

impl From<mlua::Error> for Stop {
    fn from(error: mlua::Error) -> Stop {
        Stop::Lua(error)
    }
}

/// An error line.
pub fn line<T>(line: impl Into<String>) -> Outcome<T> {
    Err(Stop::Line(line.into()))
}

/// Adds a function to a library.
pub fn register<F, R>(lua: &Lua, library: &Table, name: &str, function: F) -> Result<()>
where
    F: Fn(&Lua, Arguments) -> Outcome<R> + MaybeSend + 'static,
    R: IntoLuaMulti,
{
    let function = lua.create_function(move |lua, values: MultiValue| {
        let arguments = Arguments { values: values.into_vec() };
        match function(lua, arguments) {
            Ok(values) => Ok(Answer::Return(values.into_lua_multi(lua)?)),
            Err(Stop::Line(line)) => Ok(Answer::Line(line.into_bytes())),
            Err(Stop::Raise(value)) => Ok(Answer::Raise(value)),
            Err(Stop::Argument(number, what)) => Ok(Answer::Argument(number, what)),
            Err(Stop::Lua(error)) => Err(error),
        }
    })?;
    library.raw_set(name, native::bridge(lua, function)?)
}

/// The arguments of one call.
pub struct Arguments {
    values: Vec<Value>,
}

impl Arguments {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.values.len()
    }

    /// All of them.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// An argument, counted from 1; nil behind the last.
    pub fn get(&self, number: usize) -> Value {
        number.checked_sub(1).and_then(|at| self.values.get(at)).cloned().unwrap_or(Value::Nil)
    }

    /// Whether it is missing or nil.
    pub fn is_none(&self, number: usize) -> bool {
        matches!(self.get(number), Value::Nil)
    }

    /// A number, or a string that looks like one.
    pub fn number(&self, lua: &Lua, number: usize) -> Outcome<f64> {
        match lua.coerce_number(self.get(number))? {
            Some(value) => Ok(value),
            None => self.wrong(number, "number"),
        }
    }

    /// A number without what is behind its point.
    pub fn integer(&self, lua: &Lua, number: usize) -> Outcome<i64> {
        self.number(lua, number).map(|value| value as i64)
    }

    /// A string, or a number as one.
    pub fn bytes(&self, lua: &Lua, number: usize) -> Outcome<Vec<u8>> {
        match text(lua, &self.get(number))? {
            Some(bytes) => Ok(bytes),
            None => self.wrong(number, "string"),
        }
    }

    /// An argument of the wrong type.
    pub fn wrong<T>(&self, number: usize, expected: &str) -> Outcome<T> {
        let got = if number > self.values.len() { "no value" } else { type_name(&self.get(number)) };
        argument(number, format!("{expected} expected, got {got}"))
    }
}

/// A bad argument.
pub fn argument<T>(number: usize, what: impl Into<String>) -> Outcome<T> {
    Err(Stop::Argument(i32::try_from(number).unwrap_or(i32::MAX), what.into()))
}

/// The bytes of a string or number, as Lua writes it; nothing for other types.
pub fn text(lua: &Lua, value: &Value) -> Result<Option<Vec<u8>>> {
    match value {
        Value::String(_) | Value::Integer(_) | Value::Number(_) => {
            Ok(lua.coerce_string(value.clone())?.map(|text| text.as_bytes().to_vec()))
        }
        _ => Ok(None),
    }
}

/// A Lua number.
pub fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

/// Whether this is the null of `cjson`.
pub fn is_null(value: &Value) -> bool {
    matches!(value, Value::LightUserData(data) if data.0.is_null())
}

/// The name of a type as Lua knows it.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Nil => "nil",
        Value::Boolean(_) => "boolean",
        Value::Integer(_) | Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Table(_) => "table",
        Value::Function(_) => "function",
        Value::Thread(_) => "thread",
        _ => "userdata",
    }
}
