"""Parts of the recorder that plays Debian's Luanti (package `minetest`) on virtual screens; see `record_luanti`."""
