"""What any process of datamill needs: settings, errors, database, bus, objects, server, telemetry. Knows no repo."""
