//! `COPY … TO STDOUT`.

use std::sync::Arc;

use arrow_pg::datatypes::arrow_schema_to_pg_fields;
use datafusion::arrow::array::RecordBatch;
use datafusion::sql::sqlparser::ast::{CopyLegacyCsvOption, CopyLegacyOption, CopyOption};
use futures_util::{Stream, StreamExt, stream};
use pgwire::api::portal::Format as Wire;
use pgwire::api::results::{CopyCsvOptions, CopyEncoder, CopyResponse, CopyTextOptions, FieldInfo};
use pgwire::error::PgWireResult;
use pgwire::messages::copy::CopyData;

use super::encode;
use super::error::of_code;

/// The format of rows.
#[derive(Clone)]
pub(super) enum Format {
    Text(CopyTextOptions),
    Csv { options: CopyCsvOptions, header: bool },
    Binary,
}

impl Format {
    /// The format in the options of the command, in the present form or that before PostgreSQL 9.0.
    pub(super) fn of(options: &[CopyOption], legacy: &[CopyLegacyOption]) -> PgWireResult<Format> {
        let unknown = |what: String| {
            of_code(
                "0A000",
                format!(
                    "COPY with {what}: expected FORMAT (text, csv, binary), DELIMITER, NULL, HEADER, QUOTE or ESCAPE"
                ),
            )
        };
        let mut name = "text".to_owned();
        let (mut delimiter, mut null, mut quote, mut escape) = (None, None, None, None);
        let mut header = false;
        for option in options {
            match option {
                CopyOption::Format(format) => name = format.value.to_lowercase(),
                CopyOption::Delimiter(with) => delimiter = Some(*with),
                CopyOption::Null(text) => null = Some(text.clone()),
                CopyOption::Header(has) => header = *has,
                CopyOption::Quote(with) => quote = Some(*with),
                CopyOption::Escape(with) => escape = Some(*with),
                CopyOption::Encoding(encoding) if encoding.eq_ignore_ascii_case("utf8") => {}
                other => return Err(unknown(other.to_string())),
            }
        }
        for option in legacy {
            match option {
                CopyLegacyOption::Binary => "binary".clone_into(&mut name),
                CopyLegacyOption::Delimiter(with) => delimiter = Some(*with),
                CopyLegacyOption::Null(text) => null = Some(text.clone()),
                CopyLegacyOption::Csv(options) => {
                    "csv".clone_into(&mut name);
                    for option in options {
                        match option {
                            CopyLegacyCsvOption::Header => header = true,
                            CopyLegacyCsvOption::Quote(with) => quote = Some(*with),
                            CopyLegacyCsvOption::Escape(with) => escape = Some(*with),
                            other => return Err(unknown(other.to_string())),
                        }
                    }
                }
                other => return Err(unknown(other.to_string())),
            }
        }
        let one = |with: Option<char>, otherwise: &str| {
            with.map_or_else(|| otherwise.to_owned(), |with| with.to_string())
        };
        match &name[..] {
            "text" => Ok(Format::Text(CopyTextOptions {
                delimiter: one(delimiter, "\t").into(),
                null_string: null.unwrap_or_else(|| "\\N".to_owned()).into(),
            })),
            "csv" => {
                let quote = one(quote, "\"");
                let options = CopyCsvOptions {
                    delimiter: one(delimiter, ",").into(),
                    escape: one(escape, &quote).into(),
                    quote: quote.into(),
                    null_string: null.unwrap_or_default().into(),
                    force_quote: Vec::new(),
                };
                Ok(Format::Csv { options, header })
            }
            "binary" => Ok(Format::Binary),
            other => Err(unknown(format!("FORMAT {other}"))),
        }
    }

    fn encoder(&self, fields: &Arc<Vec<FieldInfo>>) -> CopyEncoder {
        match self {
            Format::Text(options) => CopyEncoder::new_text(Arc::clone(fields), options.clone()),
            Format::Csv { options, .. } => {
                CopyEncoder::new_csv(Arc::clone(fields), options.clone())
            }
            Format::Binary => CopyEncoder::new_binary(Arc::clone(fields)),
        }
    }
}

/// The response with all rows of a statement.
pub(super) fn response(
    schema: &datafusion::arrow::datatypes::Schema,
    rows: impl Stream<Item = PgWireResult<RecordBatch>> + Send + 'static,
    format: &Format,
) -> PgWireResult<CopyResponse> {
    let wire =
        if matches!(format, Format::Binary) { Wire::UnifiedBinary } else { Wire::UnifiedText };
    let fields = Arc::new(arrow_schema_to_pg_fields(schema, &wire, None)?);
    let mut encoder = format.encoder(&fields);
    let first = header(format, schema, &fields)?;
    let columns = fields.len();
    let data = rows.flat_map(move |batch| {
        let lines: Vec<PgWireResult<CopyData>> = match batch {
            Ok(batch) => (0..batch.num_rows())
                .map(|at| encode::row(&mut encoder, &batch, at, &fields))
                .collect(),
            Err(error) => vec![Err(error)],
        };
        stream::iter(lines)
    });
    let code = i8::from(matches!(format, Format::Binary));
    Ok(CopyResponse::new(code, columns, stream::iter(first.map(Ok)).chain(data)))
}

/// The names of the columns, as a line.
fn header(
    format: &Format,
    schema: &datafusion::arrow::datatypes::Schema,
    fields: &Arc<Vec<FieldInfo>>,
) -> PgWireResult<Option<CopyData>> {
    let Format::Csv { header: true, .. } = format else { return Ok(None) };
    let mut encoder = format.encoder(fields);
    for field in schema.fields() {
        encoder.encode_field(&Some(field.name().as_str()))?;
    }
    Ok(Some(encoder.take_copy()))
}
