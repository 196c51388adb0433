//! Protobuf.

use dayfold::schema::Value;
use prost_reflect::{
    DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage, Value as Proto,
};

use super::{Fields, Format, decimal_of, within};

/// A Protobuf message, by the descriptor set that `protoc --descriptor_set_out --include_imports` writes.
///
/// An unset field with presence is null; other unset fields have their defaults. An enumeration is its name, or its
/// number if it has no name. `google.protobuf.Timestamp` is a time. Repeated fields and maps are left out.
#[derive(Clone, Debug)]
pub struct Protobuf {
    message: MessageDescriptor,
    framed: bool,
}

impl Protobuf {
    /// The message with this name (including its package) in a descriptor set.
    ///
    /// # Errors
    /// If it is not a descriptor set, or has no such message.
    pub fn new(descriptor_set: &[u8], message: &str) -> Result<Protobuf, String> {
        let pool = DescriptorPool::decode(descriptor_set);
        let pool = pool.map_err(|error| format!("no descriptor set: {error}"))?;
        let found = pool.get_message_by_name(message);
        let message =
            found.ok_or_else(|| format!("the descriptor set has no message '{message}'"))?;
        Ok(Protobuf { message, framed: false })
    }

    /// Values have the frame of a schema registry: a zero, the id of the schema, and the index of the message. The id
    /// is ignored; a message that is not the first one is refused.
    #[must_use]
    pub fn framed(self) -> Protobuf {
        Protobuf { framed: true, ..self }
    }
}

impl Format for Protobuf {
    fn decode(&self, bytes: &[u8]) -> Result<Fields, String> {
        let bytes = match self.framed {
            false => bytes,
            true => {
                let (_, message) = super::id_of(bytes)?;
                // The list of indices with the single 0 is written as one 0.
                message.strip_prefix(&[0]).ok_or("it is not the first message of its schema")?
            }
        };
        let message = DynamicMessage::decode(self.message.clone(), bytes);
        let message = message.map_err(|error| format!("no message of the descriptor: {error}"))?;
        let mut fields = Fields::default();
        add("", &message, &mut fields)?;
        Ok(fields)
    }
}

fn add(outer: &str, message: &DynamicMessage, fields: &mut Fields) -> Result<(), String> {
    for field in message.descriptor().fields() {
        if field.is_list() || field.is_map() {
            continue;
        }
        let name = within(outer, field.name());
        if field.supports_presence() && !message.has_field(&field) {
            fields.push(name, Value::Null);
            continue;
        }
        let value = match message.get_field(&field).into_owned() {
            Proto::Message(inner)
                if inner.descriptor().full_name() == "google.protobuf.Timestamp" =>
            {
                Value::Timestamp(timestamp(&inner))
            }
            Proto::Message(inner) => {
                add(&name, &inner, fields)?;
                continue;
            }
            Proto::EnumNumber(number) => {
                let kind = field.kind();
                let named = kind.as_enum().and_then(|of| of.get_value(number));
                let text = named.map(|value| Value::Text(value.name().to_owned()));
                text.unwrap_or(Value::Integer(number.into()))
            }
            Proto::Bool(is_so) => Value::Boolean(is_so),
            Proto::I32(number) => Value::Integer(number.into()),
            Proto::I64(number) => Value::Integer(number.into()),
            Proto::U32(number) => Value::Integer(number.into()),
            Proto::U64(number) => Value::Integer(number.into()),
            Proto::F32(number) => decimal_of(number)?,
            Proto::F64(number) => decimal_of(number)?,
            Proto::String(text) => Value::Text(text),
            Proto::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
            Proto::List(_) | Proto::Map(_) => continue,
        };
        fields.push(name, value);
    }
    Ok(())
}

/// Milliseconds of a timestamp, whose fields are its seconds (1) and nanoseconds (2).
fn timestamp(message: &DynamicMessage) -> i64 {
    let number = |field| message.get_field_by_number(field).map(|value| value.into_owned());
    let seconds = number(1).and_then(|value| value.as_i64()).unwrap_or_default();
    let nanos = number(2).and_then(|value| value.as_i32()).unwrap_or_default();
    seconds.saturating_mul(1_000).saturating_add(i64::from(nanos).div_euclid(1_000_000))
}

#[cfg(test)]
mod tests {
    use prost_reflect::prost::Message;
    use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
    use prost_reflect::prost_types::{
        DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    };

    use super::*;

    /// `message Order { string shop = 1; int64 id = 2; double price = 3; Order parent = 4; repeated int64 tags = 5; }`
    fn descriptor_set() -> Vec<u8> {
        let field = |name: &str, number, kind: Type, label: Label| FieldDescriptorProto {
            name: Some(name.to_owned()),
            number: Some(number),
            label: Some(label.into()),
            r#type: Some(kind.into()),
            type_name: (kind == Type::Message).then(|| ".shop.Order".to_owned()),
            ..FieldDescriptorProto::default()
        };
        let order = DescriptorProto {
            name: Some("Order".to_owned()),
            field: vec![
                field("shop", 1, Type::String, Label::Optional),
                field("id", 2, Type::Int64, Label::Optional),
                field("price", 3, Type::Double, Label::Optional),
                field("parent", 4, Type::Message, Label::Optional),
                field("tags", 5, Type::Int64, Label::Repeated),
            ],
            ..DescriptorProto::default()
        };
        let file = FileDescriptorProto {
            name: Some("shop.proto".to_owned()),
            package: Some("shop".to_owned()),
            syntax: Some("proto3".to_owned()),
            message_type: vec![order],
            ..FileDescriptorProto::default()
        };
        FileDescriptorSet { file: vec![file] }.encode_to_vec()
    }

    #[test]
    fn messages_are_fields() {
        let protobuf = Protobuf::new(&descriptor_set(), "shop.Order").unwrap();
        // By hand: shop "a", id 7, price 0.1, a parent with id 8, a tag.
        let mut bytes = b"\x0a\x01a\x10\x07\x19".to_vec();
        bytes.extend_from_slice(&0.1f64.to_le_bytes());
        bytes.extend_from_slice(b"\x22\x02\x10\x08\x2a\x01\x05");
        let fields = protobuf.decode(&bytes).unwrap();
        assert_eq!((fields.text("shop"), fields.integer("id")), (Ok("a"), Ok(7)));
        assert_eq!(fields.get("price"), Some(&Value::Decimal("0.1".parse().unwrap())));
        assert_eq!(fields.integer("parent.id"), Ok(8));
        assert_eq!(fields.text("parent.shop"), Ok(""), "the default");
        assert_eq!(fields.get("parent.parent"), Some(&Value::Null));
        assert!(fields.get("tags").is_none());

        let framed = protobuf.clone().framed();
        let with = |start: &[u8]| framed.decode(&[start, &bytes].concat());
        assert_eq!(with(b"\x00\x00\x00\x00\x05\x00").unwrap(), fields);
        assert!(with(b"\x00\x00\x00\x00\x05\x02\x02").unwrap_err().contains("not the first"));
        assert!(protobuf.decode(b"\x0a\x05a").unwrap_err().contains("no message"));
        assert!(
            Protobuf::new(&descriptor_set(), "Order").unwrap_err().contains("no message 'Order'")
        );
        assert!(Protobuf::new(b"\xFF", "Order").is_err());
    }
}
