"""README's commands on bare machines: empty roots of Debian with the packages that README names."""
