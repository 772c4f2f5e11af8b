"""What people read: numbers and URLs in words, public wordings of failures, md5sum lines, remarks."""
