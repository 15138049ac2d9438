//! Keras models: their configuration is JSON that names classes. Lambda layers carry bytecode; a class or function
//! from elsewhere runs what its author likes.

use super::Scan;
use super::json::Event;
use crate::report::{Rule, excerpt};

/// Classes that carry code, or make some from text.
const CODE: &[&[u8]] =
    &[b"Lambda", b"__lambda__", b"__function__", b"TorchModuleWrapper", b"FlaxLayer", b"JaxLayer"];

/// Classes that load another model.
const LOADERS: &[&[u8]] = &[b"TFSMLayer", b"KerasLayer", b"TFOpLambda"];

/// Modules whose classes are plain layers and their parts.
const MODULES: &[&str] = &[
    "keras",
    "keras.layers",
    "keras.models",
    "keras.initializers",
    "keras.regularizers",
    "keras.constraints",
    "keras.activations",
    "keras.losses",
    "keras.metrics",
    "keras.optimizers",
    "keras.optimizers.schedules",
    "keras.optimizers.legacy",
    "keras.dtype_policies",
    "keras.random",
    "keras.src.models.functional",
    "keras.src.models.sequential",
    "keras.src.engine.functional",
    "keras.src.engine.sequential",
    "keras.src.engine.input_layer",
    // Operations of plain arithmetic. Those of `core` take functions, and are not listed.
    "keras.src.ops.image",
    "keras.src.ops.linalg",
    "keras.src.ops.math",
    "keras.src.ops.nn",
    "keras.src.ops.numpy",
    "keras.engine.functional",
    "keras.engine.sequential",
    "keras.engine.input_layer",
];

/// Functions of Python's own names that Keras writes for activations, losses and metrics.
const FUNCTIONS: &[&[u8]] = &[
    b"relu",
    b"softmax",
    b"sigmoid",
    b"tanh",
    b"linear",
    b"gelu",
    b"elu",
    b"selu",
    b"silu",
    b"swish",
    b"softplus",
    b"softsign",
    b"hard_sigmoid",
    b"leaky_relu",
    b"relu6",
    b"exponential",
    b"log_softmax",
    b"mse",
    b"mae",
    b"mean_squared_error",
    b"mean_absolute_error",
    b"accuracy",
    b"binary_crossentropy",
    b"categorical_crossentropy",
    b"sparse_categorical_crossentropy",
];

/// One object of the configuration.
#[derive(Debug, Default)]
struct Object {
    at: u64,
    key: Vec<u8>,
    class_name: Option<Vec<u8>>,
    module: Option<Vec<u8>>,
    registered_name: Option<Vec<u8>>,
    /// `config`, if it is a text: a function's name.
    config: Option<Vec<u8>>,
    vocabulary: Option<Vec<u8>>,
    is_array: bool,
}

/// Follows the events of one JSON value.
#[derive(Debug, Default)]
pub(super) struct Keras {
    open: Vec<Object>,
    /// Classes named so far.
    pub(super) classes: u64,
}

impl Keras {
    pub(super) fn see(&mut self, scan: &mut Scan, at: u64, event: &Event) {
        match event {
            Event::ObjectStart | Event::ArrayStart => {
                self.open.push(Object { at, is_array: *event == Event::ArrayStart, ..Object::default() });
            }
            Event::ObjectEnd | Event::ArrayEnd => {
                if let Some(object) = self.open.pop() {
                    self.judge(scan, &object);
                }
            }
            Event::Key(key) => {
                if let Some(object) = self.open.last_mut() {
                    // Readers take the last of two equal keys, people see the first.
                    if object.class_name.is_some() && key == b"class_name" {
                        scan.refuse(Rule::J01, at, "\"class_name\" stands twice in one object");
                    }
                    object.key.clone_from(key);
                }
            }
            Event::Text(text) => self.text(text),
            Event::True | Event::Scalar | Event::End => {}
        }
    }

    fn text(&mut self, text: &[u8]) {
        let Some(object) = self.open.last_mut().filter(|object| !object.is_array) else { return };
        let kept = Some(text.iter().copied().take(512).collect());
        match &object.key[..] {
            b"class_name" => object.class_name = kept,
            b"module" => object.module = kept,
            b"registered_name" => object.registered_name = kept,
            b"config" => object.config = kept,
            b"vocabulary" => object.vocabulary = kept,
            _ => {}
        }
    }

    fn judge(&mut self, scan: &mut Scan, object: &Object) {
        let at = object.at;
        if let Some(path) = &object.vocabulary {
            scan.refuse(Rule::H03, at, format!("a vocabulary that is read from a file: {}", excerpt(path)));
        }
        let Some(class) = &object.class_name else { return };
        self.classes += 1;
        let shown = excerpt(class);
        let last = class.rsplit(|byte| matches!(byte, b'>' | b'.')).next().unwrap_or_default();
        if CODE.contains(&last) || class.contains(&b'>') || class.contains(&b'.') {
            scan.refuse(Rule::H01, at, format!("{shown} carries code"));
        }
        if LOADERS.contains(&last) {
            scan.refuse(Rule::H03, at, format!("{shown} loads another model or function"));
        }
        if let Some(name) = object.registered_name.as_ref().filter(|name| name.contains(&b'>')) {
            scan.refuse(Rule::H02, at, format!("{shown} is registered as {}", excerpt(name)));
        }
        let Some(module) = &object.module else {
            if class == b"function" {
                scan.refuse(Rule::H02, at, "a function without a module");
            }
            return;
        };
        let known = std::str::from_utf8(module).is_ok_and(|module| MODULES.contains(&module));
        let function = matches!(&class[..], b"function" | b"builtin_function_or_method" | b"type");
        let plain =
            class == b"function" && object.config.as_ref().is_some_and(|name| FUNCTIONS.contains(&&name[..]));
        if function && !plain {
            let name = object.config.as_deref().unwrap_or_default();
            scan.refuse(Rule::H02, at, format!("the function {}.{}", excerpt(module), excerpt(name)));
        } else if !(known || function && module == b"builtins") {
            scan.refuse(Rule::H02, at, format!("{shown} from {}, which is not of Keras", excerpt(module)));
        }
    }
}
