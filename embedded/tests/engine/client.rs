//! What the clickhouse crate sends and gets, as the writer and the report use it.

use crate::support::{Server, folder};
use clickhouse::{Compression, Row};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
struct Cell {
    campaign: u64,
    value: String,
    marks: Vec<u64>,
}

fn cells() -> Vec<Cell> {
    (0..5000)
        .map(|campaign| Cell {
            campaign,
            value: format!("{campaign};\n\0'"),
            marks: (0..campaign % 5).collect(),
        })
        .collect()
}

#[tokio::test]
async fn rows_go_in_and_come_out_compressed_or_not_checked_or_not() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    let table = "CREATE TABLE cells (campaign UInt64, value String, marks Array(UInt64)) \
                 ENGINE = MergeTree ORDER BY campaign";
    server.ask(table);
    for compression in [Compression::Lz4, Compression::None] {
        for validation in [true, false] {
            let client = server.client().with_compression(compression).with_validation(validation);
            let mut insert = client.insert::<Cell>("cells").await.unwrap();
            for cell in cells() {
                insert.write(&cell).await.unwrap();
            }
            insert.end().await.unwrap();
            let query = "SELECT ?fields FROM cells ORDER BY campaign";
            assert_eq!(client.query(query).fetch_all::<Cell>().await.unwrap(), cells());
            client.query("TRUNCATE TABLE cells").execute().await.unwrap();
        }
    }
}

#[tokio::test]
async fn parameters_settings_and_errors_pass_through() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    let client = server.client();
    let row = client
        .query("SELECT {text:String}, {n:UInt64} + 1, toUInt64(getSetting('max_block_size'))")
        .param("text", "it's; \n")
        .param("n", 41)
        .with_setting("max_block_size", "123")
        .fetch_one::<(String, u64, u64)>()
        .await
        .unwrap();
    assert_eq!(row, ("it's; \n".to_owned(), 42, 123));
    let error = client.query("SELECT * FROM nope").fetch_all::<u8>().await.unwrap_err();
    assert!(error.to_string().contains("Code: 60. DB::Exception"), "{error}");
}

#[tokio::test]
async fn an_insert_that_fails_says_why_and_the_next_one_works() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    server.ask(
        "CREATE TABLE cells (campaign UInt64, value String, marks Array(UInt64), \
                CONSTRAINT small CHECK campaign < 10) ENGINE = MergeTree ORDER BY campaign",
    );
    let client = server.client();
    let store = async |cells: Vec<Cell>| {
        let mut insert = client.insert::<Cell>("cells").await?;
        for cell in cells {
            insert.write(&cell).await?;
        }
        insert.end().await
    };
    let error = store(cells()).await.unwrap_err();
    assert!(error.to_string().contains("VIOLATED_CONSTRAINT"), "{error}");
    store(cells().into_iter().take(10).collect()).await.unwrap();
    assert_eq!(server.ask("SELECT count() FROM cells"), "10");
}

#[tokio::test]
async fn an_insert_dropped_half_way_stores_nothing() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    server.ask(
        "CREATE TABLE cells (campaign UInt64, value String, marks Array(UInt64)) \
                ENGINE = MergeTree ORDER BY campaign",
    );
    let client = server.client().with_setting("query_id", "dropped");
    let mut insert = client.insert::<Cell>("cells").await.unwrap();
    for cell in cells().iter().cycle().take(100_000) {
        insert.write(cell).await.unwrap();
    }
    drop(insert);
    crate::support::wait_for("the insert to be cancelled", || {
        let reply = server.post("query_id=dropped", "SELECT count() FROM cells");
        (reply.status == 200).then(|| assert_eq!(reply.text(), "0\n"))
    });
}
