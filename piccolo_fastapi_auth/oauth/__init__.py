"""What an OAuth 2 server says about its tokens and about itself."""
