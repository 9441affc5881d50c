//! How values lie in the columns of their rows, in one list for both ways.

use domain::{Fault, Faults};
use serde::de::DeserializeOwned;

/// Makes `write` and `read` of a value. `plain` columns are as the fields of the same name, `lists` hold
/// them as JSON, `words` as their texts. The others are written and read by expressions; what is read
/// is nothing where a fault tells why.
macro_rules! columns {
    (
        $Value:ident in $table:ident::Model
        plain { $($plain:ident,)* }
        lists { $($list:ident,)* }
        words { $($word:ident,)* }
        write($value:ident) { $($column:ident: $to:expr,)* }
        read($row:ident, $faults:ident) { $($field:ident: $from:expr,)* }
    ) => {
        fn write($value: &$Value, stamp: Stamp) -> $table::Model {
            $table::Model {
                $($plain: Clone::clone(&$value.$plain),)*
                $($list: json(&$value.$list),)*
                $($word: $value.$word.to_string(),)*
                $($column: $to,)*
                created_us: stamp.created_us,
                updated_us: stamp.updated_us,
                revision: stamp.revision,
            }
        }

        /// The value of a row, or the columns that this program cannot read.
        pub(crate) fn read($row: $table::Model) -> Result<$Value, Faults> {
            let mut $faults = Faults::default();
            $(let $list = $crate::columns::list(&mut $faults, stringify!($list), &$row.$list);)*
            $(let $word = $crate::columns::note(&mut $faults, $row.$word.parse());)*
            $(let $field = $from;)*
            let value = (|| {
                Some($Value {
                    $($plain: $row.$plain,)*
                    $($list: $list?,)*
                    $($word: $word?,)*
                    $($field: $field?,)*
                })
            })();
            value.ok_or($faults)
        }
    };
}

pub(crate) use columns;

pub(crate) fn note<T>(faults: &mut Faults, read: Result<T, Fault>) -> Option<T> {
    read.map_err(|fault| faults.0.push(fault)).ok()
}

/// A list as a column holds it.
pub(crate) fn list<T: DeserializeOwned>(
    faults: &mut Faults,
    field: &'static str,
    text: &str,
) -> Option<Vec<T>> {
    let read = serde_json::from_str(text);
    note(faults, read.map_err(|_| Fault::new(field, "cannot be read by this version")))
}
