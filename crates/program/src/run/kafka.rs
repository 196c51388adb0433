//! Sources that are Kafka topics.

use std::path::Path;
use std::sync::Arc;

use dayfold::dynamic::{Engine, Event};
use dayfold::schema::Value;
use dayfold::source::PartitionOptions;
use dayfold_kafka::format::{Avro, Fields, Format, Protobuf, Registry};
use dayfold_kafka::{From, Kafka, Time};

use crate::config::{
    Auth, AvroSchema, Config, FileError, FileFormat, KafkaConfig, Secret, SourceKind, Text,
};
use crate::plan::SourcePlan;

/// Reads a source's topics. With `once`, up to their present ends.
///
/// # Errors
/// [`FileError`] if a file or a variable that the source names does not exist.
pub(super) fn read(
    mut engine: Engine,
    config: &Config,
    source: &Arc<SourcePlan>,
    once: bool,
) -> Result<Engine, FileError> {
    let SourceKind::Kafka(kafka) = &source.config.kind else { return Ok(engine) };
    let settings = settings(config, kafka)?;
    let brokers: Vec<&str> = kafka.brokers.iter().map(|broker| broker.value.as_str()).collect();
    for topic in &kafka.topics {
        let (plan, decode) = (Arc::clone(source), decoder(config, &source.config.format)?);
        let event = move |record: &dayfold_kafka::Record<'_>| {
            let decoded = match &decode {
                Some(format) => Some(json(&format.decode(record.bytes())?)),
                None => None,
            };
            let row = decoded.as_ref().map_or(record.bytes(), |text| text.as_bytes());
            let (time, _) = plan.times.of(row)?;
            plan.event(time, row)
        };
        let mut topic = Kafka::new(&brokers.join(","), &topic.value, event)
            .named(&format!("{}:{}", source.config.name.value, topic.value))
            .time(Time::Event(Box::new(Event::time)))
            .options(options(source, kafka));
        for (key, value) in &settings {
            topic = topic.set(key, value);
        }
        if let Some(group) = &kafka.group {
            topic = topic.group(&group.value);
        }
        if kafka.from_end {
            topic = topic.from(From::End);
        }
        engine = engine.partitioned(if once { topic.until_end() } else { topic });
    }
    Ok(engine)
}

fn options(source: &SourcePlan, kafka: &KafkaConfig) -> PartitionOptions {
    let options = source.partition_options();
    match kafka.idle_partition {
        Some(idle) => options.quiet_after(idle),
        None => options,
    }
}

/// The client's settings for authentication.
fn settings(config: &Config, kafka: &KafkaConfig) -> Result<Vec<(String, String)>, FileError> {
    let Some(auth) = &kafka.auth else { return Ok(Vec::new()) };
    let mut settings = vec![("security.protocol".to_owned(), protocol(auth).to_owned())];
    let mut set = |key: &str, value: String| settings.push((key.to_owned(), value));
    let path = |file: &Text| config.path(&file.value).display().to_string();
    if let Some(mechanism) = auth.sasl {
        set("sasl.mechanism", mechanism.to_ascii_uppercase());
    }
    if let Some(user) = &auth.user {
        set("sasl.username", user.value.clone());
    }
    if let Some(secret) = &auth.password {
        set("sasl.password", password(config, secret)?);
    }
    if let Some(file) = &auth.ca_file {
        set("ssl.ca.location", path(file));
    }
    if let Some((certificate, key)) = &auth.certificate {
        set("ssl.certificate.location", path(certificate));
        set("ssl.key.location", path(key));
    }
    Ok(settings)
}

fn protocol(auth: &Auth) -> &'static str {
    match (auth.sasl.is_some(), auth.tls) {
        (true, true) => "sasl_ssl",
        (true, false) => "sasl_plaintext",
        (false, true) => "ssl",
        (false, false) => "plaintext",
    }
}

fn password(config: &Config, secret: &Secret) -> Result<String, FileError> {
    match secret {
        Secret::Environment(name) => std::env::var(&name.value).map_err(|_| {
            let message = format!("the variable {} of the environment is not set", name.value);
            name.error(&config.document, message)
        }),
        Secret::File(file) => {
            let text = String::from_utf8_lossy(&contents(config, file)?).into_owned();
            Ok(text.trim_end_matches(['\r', '\n']).to_owned())
        }
    }
}

fn contents(config: &Config, file: &Text) -> Result<Vec<u8>, FileError> {
    let path = config.path(&file.value);
    let read = |path: &Path| std::fs::read(path);
    read(&path)
        .map_err(|error| file.error(&config.document, format!("{}: {error}", path.display())))
}

/// The decoder of binary records; `None` for text.
fn decoder(config: &Config, format: &FileFormat) -> Result<Option<Box<dyn Format>>, FileError> {
    let document = &config.document;
    Ok(Some(match format {
        FileFormat::Csv { .. } | FileFormat::Json | FileFormat::Parquet => return Ok(None),
        FileFormat::Avro(AvroSchema::Embedded) => Box::new(Avro::embedded()),
        FileFormat::Avro(AvroSchema::File(file)) => {
            let schema = String::from_utf8_lossy(&contents(config, file)?).into_owned();
            Box::new(Avro::of_schema(&schema).map_err(|error| file.error(document, error))?)
        }
        FileFormat::Avro(AvroSchema::Registry(url)) => {
            Box::new(Avro::registry(Registry::new(&url.value)))
        }
        FileFormat::Protobuf { descriptors, message, framed } => {
            let set = contents(config, descriptors)?;
            let format = Protobuf::new(&set, &message.value)
                .map_err(|error| message.error(document, error))?;
            if *framed { Box::new(format.framed()) } else { Box::new(format) }
        }
    }))
}

/// The fields of a record as a JSON object, whose text the library's log keeps.
fn json(fields: &Fields) -> String {
    let mut text = String::from("{");
    for (name, value) in fields.iter() {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&serde_json::Value::from(name).to_string());
        text.push(':');
        match value {
            Value::Null => text.push_str("null"),
            Value::Integer(_) | Value::Decimal(_) | Value::Boolean(_) => {
                text.push_str(&value.to_string());
            }
            Value::Bytes(bytes) => {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                text.push_str(&serde_json::Value::from(hex).to_string());
            }
            other => text.push_str(&serde_json::Value::from(other.to_string()).to_string()),
        }
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_other_formats_are_read_as_json() {
        let mut fields = Fields::default();
        fields.push("a.b", Value::Text("x \"y\"\n".to_owned()));
        fields.push("n", Value::Integer(-3));
        fields.push("d", Value::Decimal("1.50".parse().unwrap()));
        fields.push("t", Value::Timestamp(1_500));
        fields.push("raw", Value::Bytes(vec![0, 255]));
        fields.push("none", Value::Null);
        let expected = r#"{"a.b":"x \"y\"\n","n":-3,"d":1.50,"t":"1970-01-01T00:00:01.500Z","raw":"00ff","none":null}"#;
        assert_eq!(json(&fields), expected);
    }
}
