"""The Faust application and what runs beside the engine: resolutions, outcomes, health, supervision."""
