"""What analysis hands to report: frozen values. Nothing is computed or worded here."""
