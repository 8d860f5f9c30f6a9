"""What `export-status check` looks at: `facts` asks AWS, the rest only judges what it said."""
