//! Lists page by page, and purges by filter.

use serde_json::json;

use super::INSTANCES;
use crate::support::{Server, Web};

#[tokio::test]
async fn a_list_goes_on_where_the_continuation_token_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let web = Web::new(&server);
    let ids: Vec<String> = (0..7).map(|n| format!("i-{n}")).collect();
    for id in &ids {
        assert_eq!(web.post(&format!("/orchestrators/f/{id}"), "").await.status, 202);
    }
    let (mut seen, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let headers = [("x-ms-continuation-token", token.as_str())];
        let page = web.ask("GET", &format!("{INSTANCES}?top=3"), &headers, "").await;
        let listed = page.json();
        let listed = listed.as_array().expect("a list");
        assert!(listed.len() <= 3, "{page:?}");
        seen.extend(listed.iter().map(|shown| shown["instanceId"].as_str().unwrap().to_owned()));
        pages += 1;
        token = page.header("x-ms-continuation-token").to_owned();
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, ids);
    assert!(pages >= 3, "{pages}");
    let wrong = web.ask("GET", INSTANCES, &[("x-ms-continuation-token", "made-up")], "").await;
    assert_eq!((wrong.status.as_u16(), wrong.reason().as_str()), (400, "INVALID_FIELD"));
}

#[tokio::test]
async fn a_purge_by_filter_deletes_all_that_meet_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let web = Web::new(&server);
    for id in ["a", "b", "c"] {
        web.post(&format!("/orchestrators/f/{id}"), "").await;
    }
    for id in ["a", "b"] {
        web.post(&format!("{INSTANCES}/{id}/terminate"), "").await;
    }
    let created = web.get(&format!("{INSTANCES}/a")).await.json()["createdTime"].as_str().unwrap().to_owned();
    // The end of the time that is meant belongs to it.
    let purge = format!("{INSTANCES}?createdTimeFrom={created}&createdTimeTo={created}");
    assert_eq!(web.ask("DELETE", &purge, &[], "").await.json(), json!({"instancesDeleted": 1}));
    let purge = format!("{INSTANCES}?createdTimeFrom=2020-01-01T00:00:00%2B01:00");
    assert_eq!(web.ask("DELETE", &purge, &[], "").await.json(), json!({"instancesDeleted": 1}));
    assert_eq!(web.ask("DELETE", &purge, &[], "").await.status, 404);
    assert_eq!(web.get(&format!("{INSTANCES}/c")).await.status, 202);
}
