//! `vN.metadata.json`: the definition of a table, and its snapshots. Names and meanings are those of Iceberg's table
//! specification, version 2.

use std::collections::BTreeMap;

use dayfold::schema::Kind;
use dayfold_arrow::DECIMAL;
use serde::{Deserialize, Serialize};

use crate::LakeError;
use crate::columns::{DIGITS_MAX, TableColumn};

/// The number of the partition's field; Iceberg counts them from 1000.
pub(super) const PARTITION_FIELD: i32 = 1_000;
/// How many older metadata files the newest one names; these are kept.
const OLDER_METADATA: usize = 20;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Metadata {
    pub(super) format_version: u8,
    pub(super) table_uuid: String,
    pub(super) location: String,
    pub(super) last_sequence_number: i64,
    pub(super) last_updated_ms: i64,
    pub(super) last_column_id: i32,
    pub(super) schemas: Vec<Schema>,
    pub(super) current_schema_id: i32,
    pub(super) partition_specs: Vec<PartitionSpec>,
    pub(super) default_spec_id: i32,
    pub(super) last_partition_id: i32,
    pub(super) properties: BTreeMap<String, String>,
    /// -1 before the first one, as Iceberg's own writers do.
    pub(super) current_snapshot_id: i64,
    pub(super) snapshots: Vec<Snapshot>,
    pub(super) snapshot_log: Vec<SnapshotLog>,
    pub(super) metadata_log: Vec<MetadataLog>,
    pub(super) sort_orders: Vec<SortOrder>,
    pub(super) default_sort_order_id: i32,
    #[serde(default)]
    pub(super) refs: BTreeMap<String, Reference>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Schema {
    pub(super) schema_id: i32,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) fields: Vec<SchemaField>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SchemaField {
    pub(super) id: i32,
    pub(super) name: String,
    pub(super) required: bool,
    #[serde(rename = "type")]
    pub(super) kind: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct PartitionSpec {
    pub(super) spec_id: i32,
    pub(super) fields: Vec<PartitionField>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct PartitionField {
    pub(super) source_id: i32,
    pub(super) field_id: i32,
    pub(super) name: String,
    pub(super) transform: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct SortOrder {
    pub(super) order_id: i32,
    pub(super) fields: Vec<serde_json::Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Snapshot {
    pub(super) snapshot_id: i64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) parent_snapshot_id: Option<i64>,
    pub(super) sequence_number: i64,
    pub(super) timestamp_ms: i64,
    pub(super) manifest_list: String,
    pub(super) summary: BTreeMap<String, String>,
    pub(super) schema_id: i32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct SnapshotLog {
    pub(super) timestamp_ms: i64,
    pub(super) snapshot_id: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct MetadataLog {
    pub(super) timestamp_ms: i64,
    pub(super) metadata_file: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Reference {
    pub(super) snapshot_id: i64,
    #[serde(rename = "type")]
    pub(super) kind: String,
}

impl Metadata {
    /// A table without snapshots, partitioned by its first column.
    pub(super) fn new(
        location: &str,
        uuid: String,
        columns: &[TableColumn],
        properties: BTreeMap<String, String>,
        now_ms: i64,
    ) -> Metadata {
        let day = PartitionField {
            source_id: 1,
            field_id: PARTITION_FIELD,
            name: columns[0].name.clone(),
            transform: "identity".to_owned(),
        };
        Metadata {
            format_version: 2,
            table_uuid: uuid,
            location: location.to_owned(),
            last_sequence_number: 0,
            last_updated_ms: now_ms,
            last_column_id: columns.iter().map(|column| column.id).max().unwrap_or(0),
            schemas: vec![Schema::of(0, columns)],
            current_schema_id: 0,
            partition_specs: vec![PartitionSpec { spec_id: 0, fields: vec![day] }],
            default_spec_id: 0,
            last_partition_id: PARTITION_FIELD,
            properties,
            current_snapshot_id: -1,
            snapshots: Vec::new(),
            snapshot_log: Vec::new(),
            metadata_log: Vec::new(),
            sort_orders: vec![SortOrder { order_id: 0, fields: Vec::new() }],
            default_sort_order_id: 0,
            refs: BTreeMap::new(),
        }
    }

    pub(super) fn schema(&self) -> Option<&Schema> {
        self.schemas.iter().find(|schema| schema.schema_id == self.current_schema_id)
    }

    pub(super) fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshots.iter().find(|snapshot| snapshot.snapshot_id == self.current_snapshot_id)
    }

    /// Gives each column of a view the table's number for its name, or the next free number. A changed schema becomes
    /// the current one.
    ///
    /// # Errors
    /// [`LakeError::Column`] if a column has another type than in the table, other than decimals with fewer digits.
    pub(super) fn fit(&mut self, columns: &mut [TableColumn]) -> Result<(), LakeError> {
        let known: Vec<SchemaField> = self.schemas.iter().flat_map(|s| s.fields.clone()).collect();
        for column in columns.iter_mut() {
            match known.iter().rev().find(|field| field.name == column.name) {
                Some(field) if field.kind == type_of(column) => column.id = field.id,
                // The digits of its decimals were not known when the table was made, or were more: it keeps its type,
                // because readers of Iceberg expect the digits after the point to stay.
                Some(field)
                    if digits_of(&field.kind) > column.digits() && column.digits().is_some() =>
                {
                    (column.id, column.scale) = (field.id, digits_of(&field.kind));
                }
                Some(field) => {
                    return Err(LakeError::Column {
                        table: self.location.clone(),
                        column: column.name.clone(),
                        expected: field.kind.clone(),
                        found: type_of(column),
                    });
                }
                None => {
                    self.last_column_id += 1;
                    column.id = self.last_column_id;
                    // Rows of files before this column have none.
                    column.nullable = true;
                }
            }
        }
        let wanted = Schema::of(0, columns);
        match self.schemas.iter().find(|schema| schema.fields == wanted.fields) {
            Some(schema) => self.current_schema_id = schema.schema_id,
            None => {
                let id = self.schemas.iter().map(|schema| schema.schema_id).max().unwrap_or(-1) + 1;
                self.schemas.push(Schema { schema_id: id, ..wanted });
                self.current_schema_id = id;
            }
        }
        Ok(())
    }

    /// Makes a snapshot the current one.
    pub(super) fn add(&mut self, snapshot: Snapshot) {
        self.last_sequence_number = snapshot.sequence_number;
        self.last_updated_ms = snapshot.timestamp_ms;
        self.current_snapshot_id = snapshot.snapshot_id;
        let main = Reference { snapshot_id: snapshot.snapshot_id, kind: "branch".to_owned() };
        self.refs.insert("main".to_owned(), main);
        self.snapshot_log.push(SnapshotLog {
            timestamp_ms: snapshot.timestamp_ms,
            snapshot_id: snapshot.snapshot_id,
        });
        self.snapshots.push(snapshot);
    }

    /// Drops all but the newest snapshots, and the newest one that has a property.
    pub(super) fn expire(&mut self, keep: usize, property: &str) {
        let surplus = self.snapshots.len().saturating_sub(keep.max(1));
        let has = |snapshot: &&Snapshot| snapshot.summary.contains_key(property);
        let kept = self.snapshots.iter().rev().find(has).map(|snapshot| snapshot.snapshot_id);
        let mut at = 0;
        self.snapshots.retain(|snapshot| {
            at += 1;
            at > surplus || Some(snapshot.snapshot_id) == kept
        });
        let kept: Vec<i64> = self.snapshots.iter().map(|snapshot| snapshot.snapshot_id).collect();
        self.snapshot_log.retain(|entry| kept.contains(&entry.snapshot_id));
    }

    /// Records the metadata file that this one replaces; returns the ones that need not be kept any longer.
    pub(super) fn replaces(&mut self, metadata_file: String) -> Vec<String> {
        let entry = MetadataLog { timestamp_ms: self.last_updated_ms, metadata_file };
        self.metadata_log.push(entry);
        let surplus = self.metadata_log.len().saturating_sub(OLDER_METADATA);
        self.metadata_log.drain(..surplus).map(|entry| entry.metadata_file).collect()
    }
}

impl Schema {
    pub(super) fn of(id: i32, columns: &[TableColumn]) -> Schema {
        let fields = columns.iter().map(|column| SchemaField {
            id: column.id,
            name: column.name.clone(),
            required: !column.nullable,
            kind: type_of(column),
        });
        Schema { schema_id: id, kind: "struct".to_owned(), fields: fields.collect() }
    }
}

/// Iceberg's name of a column's type.
fn type_of(column: &TableColumn) -> String {
    match column.kind {
        Kind::Text => "string".to_owned(),
        Kind::Integer => "long".to_owned(),
        Kind::Decimal => decimal(column.digits().unwrap_or(DIGITS_MAX)),
        Kind::Boolean => "boolean".to_owned(),
        Kind::Date => "date".to_owned(),
        Kind::Timestamp => "timestamptz".to_owned(),
        _ => "binary".to_owned(),
    }
}

/// Iceberg's name of decimals with this many digits after the point.
fn decimal(scale: u8) -> String {
    format!("decimal({}, {scale})", DECIMAL.0)
}

/// The digits after the point of a type of decimals.
fn digits_of(kind: &str) -> Option<u8> {
    (0..=DIGITS_MAX).find(|scale| kind == decimal(*scale))
}
