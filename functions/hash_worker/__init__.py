"""SQS → hash → mail."""
