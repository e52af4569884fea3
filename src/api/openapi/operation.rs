//! One row of the table: what one method of one path does, takes and answers.

use serde_json::{Value, json};

use crate::signature::Scope;

/// What one method of one path does.
pub(super) struct Operation {
    /// In lower case.
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    tag: &'static str,
    summary: &'static str,
    scope: Option<Scope>,
    query: Vec<Value>,
    body: Option<Value>,
    status: u16,
    content_type: &'static str,
}

impl Operation {
    pub(super) fn new(
        method: &'static str,
        path: &'static str,
        tag: &'static str,
        summary: &'static str,
    ) -> Self {
        Self {
            method,
            path,
            tag,
            summary,
            scope: None,
            query: Vec::new(),
            body: None,
            status: 200,
            content_type: "application/json",
        }
    }

    /// The API key needs this scope.
    pub(super) fn needs(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }

    /// Takes this parameter in the query.
    pub(super) fn query(mut self, name: &str, schema: Value, help: &str) -> Self {
        self.query.push(json!({ "name": name, "in": "query", "schema": schema, "description": help }));
        self
    }

    /// Takes the page of a list.
    pub(super) fn paged(self) -> Self {
        self.query(
            "cursor",
            json!({ "type": "integer", "minimum": 0 }),
            "Where the page begins: `cursor` of the page before.",
        )
        .query(
            "limit",
            json!({ "type": "integer", "minimum": 1, "maximum": 200 }),
            "How many, 50 unless said otherwise.",
        )
    }

    /// Takes a JSON object with these members, such as in this example.
    pub(super) fn takes(self, required: &[&str], members: Value, example: Value) -> Self {
        let schema = json!({
            "type": "object", "required": required, "properties": members, "additionalProperties": false,
        });
        self.takes_json(!required.is_empty(), schema, example)
    }

    /// Takes JSON of this schema.
    pub(super) fn takes_json(mut self, required: bool, schema: Value, example: Value) -> Self {
        let content = json!({ "application/json": { "schema": schema, "example": example } });
        self.body = Some(json!({ "required": required, "content": content }));
        self
    }

    /// Takes a form with files.
    pub(super) fn takes_files(mut self) -> Self {
        let schema = json!({
            "type": "object",
            "properties": {
                "file": { "type": "string", "contentMediaType": "application/octet-stream" },
                "custom_metadata": { "type": "string", "contentMediaType": "application/json" },
            },
        });
        self.body =
            Some(json!({ "required": true, "content": { "multipart/form-data": { "schema": schema } } }));
        self
    }

    /// Answers with this status instead of 200.
    pub(super) fn answers(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Answers with something else than JSON.
    pub(super) fn gives(mut self, content_type: &'static str) -> Self {
        self.content_type = content_type;
        self
    }

    /// The Operation Object.
    pub(super) fn describe(&self) -> Value {
        let in_path = self.path.split('{').skip(1).filter_map(|part| part.split('}').next());
        let in_path = in_path.map(
            |name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }),
        );
        let parameters: Vec<Value> = in_path.chain(self.query.iter().cloned()).collect();
        let mut answer = json!({ "description": "Done." });
        if self.status != 204 {
            answer["content"] = json!({ self.content_type: { "schema": {} } });
        }
        let mut described = json!({
            "operationId": self.id(),
            "tags": [self.tag],
            "summary": self.summary,
            "parameters": parameters,
            "responses": {
                self.status.to_string(): answer,
                "default": { "$ref": "#/components/responses/Problem" },
            },
        });
        if let Some(scope) = self.scope {
            described["description"] = json!(format!("The API key needs the scope `{}`.", scope.as_str()));
            described["security"] = json!([{ "key": [] }, { "bearer": [] }]);
        }
        if let Some(body) = &self.body {
            described["requestBody"] = body.clone();
        }
        described
    }

    /// The method and the words of the path.
    fn id(&self) -> String {
        let words = self.path.trim_start_matches("/api/v1/").split(['/', '_']);
        let words = words.map(|word| word.trim_matches(['{', '}']));
        std::iter::once(self.method).chain(words).collect::<Vec<_>>().join("_")
    }
}
