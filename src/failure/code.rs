//! The stable words for what can go wrong: one table for bodies, headers, metrics and the README.

/// Whose fault a failure is: it decides the log level and who is to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The request.
    Client,
    /// Where the originals live, or what lies there.
    Origin,
    /// This server.
    Edge,
}

impl Blame {
    /// The word in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Origin => "origin",
            Self::Edge => "edge",
        }
    }
}

macro_rules! codes {
    ($($variant:ident $text:literal $status:literal $blame:ident $title:literal;)*) => {
        /// A stable word for what went wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $title] $variant,)*
        }

        impl Code {
            /// All of them, in the order of their status.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The word itself: `code` of the body, the header `Kinora-Error`, a metric's label.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The HTTP status it is answered with.
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// Whose fault it is.
            pub fn blame(self) -> Blame {
                match self { $(Self::$variant => Blame::$blame,)* }
            }

            /// What it means, for people.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

codes! {
    BadRequest "bad_request" 400 Client "The request cannot be read";
    BadOption "bad_option" 400 Client "An option has a value that it does not take";
    RepeatedOption "repeated_option" 400 Client "An option is given more than once";
    ConflictingOptions "conflicting_options" 400 Client "Two options exclude each other";
    UnsupportedOption "unsupported_option" 400 Client "An option is not offered by this version";
    OptionNotPermitted "option_not_permitted" 400 Client "The URL may name no image option here";
    RegionOutside "region_outside" 400 Client "The region lies outside the picture";
    BadFileName "bad_file_name" 400 Client "A file has a name that is none";
    EmptyFile "empty_file" 400 Client "A file has no bytes";
    NoFile "no_file" 400 Client "No file was sent";
    TooManyFiles "too_many_files" 400 Client "There are too many files in one request";
    OtherLength "other_length" 400 Client "Other bytes came than were announced";
    InvalidData "invalid_data" 400 Client "The data of the asset breaks a rule";
    InvalidSchema "invalid_schema" 400 Client "The schema of data cannot be used";
    DataNotReady "data_not_ready" 400 Client "The asset is still being stored";
    SignatureMissing "signature_missing" 401 Client "A signature, a path token or an API key is needed";
    ApiKeyNeeded "api_key_needed" 401 Client "An active API key is needed";
    UploadKeyInvalid "upload_key_invalid" 401 Client "The upload key is not active";
    BadSignature "bad_signature" 403 Client "The signature is wrong";
    Expired "expired" 403 Client "The link has expired";
    NotPermitted "not_permitted" 403 Client "The path token does not open this";
    ScopeMissing "scope_missing" 403 Client "The API key may not do this";
    WebsiteNotAuthorized "website_not_authorized" 403 Client "The upload key is not for this website";
    NotFound "not_found" 404 Client "There is nothing here";
    MethodNotAllowed "method_not_allowed" 405 Client "The method is not allowed here";
    NotAcceptable "not_acceptable" 406 Client "No format that is offered here is accepted";
    HeadTimeout "head_timeout" 408 Client "The request took too long to arrive";
    NoSigningKey "no_signing_key" 409 Client "There is no active signing key";
    IdempotencyUnderWay "idempotency_under_way" 409 Client "The first request of this name is still under way";
    NotStored "not_stored" 409 Client "The asset has no content yet";
    UploadLost "upload_lost" 409 Client "Another request has taken the upload over";
    OtherOffset "other_offset" 409 Client "The upload's bytes end elsewhere";
    NotDeleted "not_deleted" 409 Client "It is not deleted";
    AssetReadOnly "asset_read_only" 409 Client "The asset is archived and can only be read";
    JobEnded "job_ended" 409 Client "The job has ended already";
    TooManyHooks "too_many_hooks" 409 Client "There are as many webhooks as there may be";
    Deleted "deleted" 410 Client "It is deleted";
    UploadExpired "upload_expired" 410 Client "Nobody went on with the upload in time";
    VersionConflict "version_conflict" 412 Client "It was changed by somebody else in the meantime";
    TusVersion "tus_version" 412 Client "Only version 1.0.0 of tus is spoken here";
    BodyTooLarge "body_too_large" 413 Client "The request's body is too large";
    FileTooLarge "file_too_large" 413 Client "The file has too many bytes";
    SourceTooLarge "source_too_large" 413 Origin "The source has too many bytes";
    TooManyPixels "too_many_pixels" 413 Origin "The source has too many pixels";
    QueryTooLong "query_too_long" 414 Client "The query is too long";
    UnsupportedFormat "unsupported_format" 415 Origin "The source is in no format that is read here";
    TypeNotAllowed "type_not_allowed" 415 Client "Files of this type are not taken";
    TypeMismatch "type_mismatch" 415 Client "The file is something else than it is said to be";
    WrongMediaType "wrong_media_type" 415 Client "The body is of a type that is not taken here";
    RangeNotSatisfiable "range_not_satisfiable" 416 Client "The range lies outside the object, or there are too many";
    CorruptSource "corrupt_source" 422 Origin "The source is damaged";
    NoBucket "no_bucket" 422 Client "Nothing can be stored where the originals live";
    IdempotencyKeyReused "idempotency_key_reused" 422 Client "The name belongs to another request";
    UploadBusy "upload_busy" 423 Client "Another request works on the upload";
    TooManyRequests "too_many_requests" 429 Client "There are too many requests";
    HeadTooLarge "head_too_large" 431 Client "The request's head is too large";
    OtherChecksum "other_checksum" 460 Client "The bytes have another checksum than the one sent along";
    Internal "internal" 500 Edge "Something went wrong here";
    OriginFailed "origin_failed" 502 Origin "The origin cannot be reached or answered badly";
    OriginRefused "origin_refused" 502 Origin "The origin refused to give the object";
    CatalogFailed "catalog_failed" 503 Edge "What must be remembered cannot be written or read right now";
    Overloaded "overloaded" 503 Edge "Too much to do right now";
    RenderTimeout "render_timeout" 503 Edge "The picture was not finished in time";
    OriginTimeout "origin_timeout" 504 Origin "The origin took too long";
    StorageFull "storage_full" 507 Origin "The bucket has no room left";
}

impl Code {
    /// The code of this word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }

    /// The table of the README: code, status, blame and meaning.
    pub fn table() -> String {
        let mut table = String::from("| code | status | fault of | meaning |\n| --- | --- | --- | --- |\n");
        for code in Self::ALL {
            let (status, blame) = (code.status(), code.blame().as_str());
            table.push_str(&format!("| `{}` | {status} | {blame} | {} |\n", code.as_str(), code.title()));
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_snake_case_unique_and_found_again() {
        for code in Code::ALL {
            let word = code.as_str();
            assert!(word.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{word} is snake_case");
            assert_eq!(Code::parse(word), Some(*code), "{word} is unique");
            assert!((400..600).contains(&code.status()), "{word} has an error's status");
        }
    }
}
