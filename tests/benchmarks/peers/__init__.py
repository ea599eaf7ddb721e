"""The same jobs done with other libraries, in processes of their own; what they share is the arithmetic."""
